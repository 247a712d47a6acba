//! What happens to a request: one file per Tower layer, and [`stack()`], the whole pipeline on one screen.
//!
//! Layers hand what they learnt to the layers further in through request extensions: [`Connection`] comes from
//! whoever accepted the connection, [`guard`] adds the caller's view of the authority, [`route`] adds the route.

pub mod asterisk;
pub mod authorize;
mod connection;
mod decided;
mod error;
#[cfg(test)]
mod fixtures;
pub mod forward;
pub mod guard;
pub mod limits;
mod linger;
pub mod normalise;
pub mod request_id;
pub mod rescue;
pub mod rewrite;
pub mod route;
pub mod spans;
mod stack;
pub mod trace;
pub mod upgrade;

pub use connection::{Address, Connection};
pub use error::{Code, ERROR_HEADER, ProxyError};
pub use limits::Limits;
pub use route::{Router, RouterError, Target};
pub use stack::{ListenerContext, Stack, stack};
