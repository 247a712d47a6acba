//! What one upstream is spared, and what it can't do to the callers of another: the whole pipeline over real sockets.

#[path = "../config_fixture/mod.rs"]
mod config_fixture;
mod connections;
mod isolation;
mod room;
mod sizes;
mod times;
mod upstream;
mod world;
