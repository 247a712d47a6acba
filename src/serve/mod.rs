//! Listeners: binding, accepting, one task a connection, and an orderly end.
//!
//! Everything is bound before anything is served: [`Bound::bind`] first, [`serve`] later. What is served is any
//! Tower service; this room knows nothing of what it does, but what a connection proves of its client is told in the
//! words of the proxy, which asks.

mod accept;
mod answers;
mod bind;
mod connection;
mod drain;
mod head_timer;
mod preface;
#[cfg_attr(not(unix), path = "signal/elsewhere.rs")]
mod signal;
mod tls;
mod together;

pub use accept::serve;
pub use answers::Answers;
pub use bind::{BindError, Bound};
pub use connection::Options;
pub use drain::{Drain, Switch};
pub use signal::{Hangups, Signals};

#[cfg(test)]
mod tests;
