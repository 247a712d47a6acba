//! The whole stack between raw callers and a real upstream, on loopback.

mod answers;
mod bodies;
mod caller;
mod guard;
mod law_8;
mod log;
mod world;
