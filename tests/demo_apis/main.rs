//! The emulated APIs, seen by a client over TLS.

mod client;
mod flow_retail;
mod flowlu;
mod fluent;
mod misbehaviour;
mod pos;
mod server;
mod walkthrough;
