//! The whole program over real stores that fail: a disk that is full, a file that can't be written, servers that are
//! gone or silent. Counted where tokens are issued: nothing is sent without a claim, what is held goes on until it
//! expires, and recovery needs no hand.

mod disk;
mod read_only;
#[path = "../servers/mod.rs"]
mod servers;
mod shared;
mod start;
mod stolen;
mod world;
