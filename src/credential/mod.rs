//! How bearerd authenticates, as data and decisions: no IO and no clock in this room.
//!
//! A [`Spec`] is what the config says of a credential. [`grant`] turns its requests into HTTP messages, [`reply`]
//! reads what comes back, [`placement`] puts an access token into a request, [`schedule`] says when to renew, and
//! [`lifecycle`] is the state machine that decides what happens next. [`browser`] is what signing in with a browser
//! adds: a code with PKCE, or a device's code.

pub mod browser;
pub mod grant;
pub mod lifecycle;
pub mod placement;
pub mod record;
pub mod reply;
pub mod schedule;
pub mod spec;
pub mod token;

pub use spec::Spec;
