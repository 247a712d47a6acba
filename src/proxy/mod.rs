//! What happens to a request: one file per Tower layer, and [`stack()`], the whole pipeline on one screen.
//!
//! What a layer learns of a request it leaves in the request's [`Exchange`], for the layers further in and for its answer.

pub mod asterisk;
pub mod authorize;
mod connection;
mod decided;
mod error;
mod exchange;
mod fields;
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

pub use connection::{Address, Certificate, Connection, Process, Proof};
pub use error::{Code, ERROR_HEADER, ProxyError};
pub use exchange::{Exchange, Inbound};
pub use fields::Fields;
pub use limits::Limits;
pub use route::{Router, RouterError, Target};
pub use stack::{ListenerContext, Stack, stack};
