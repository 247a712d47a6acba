//! The real binary between raw sockets: what arrives upstream, what is said in the log, and what is refused at the
//! command line.

mod bad_config;
mod client;
mod emulated;
mod hops;
mod http2;
mod http2_upstream;
mod message;
mod old_clients;
mod operation;
mod program;
mod proxied;
mod recorder;
mod secrecy;
mod smuggling;
mod split_answers;
mod streaming;
mod tricks;
mod upgrades;
mod upstream;
mod verbatim;
