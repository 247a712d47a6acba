//! The next config over the running one, and the end: by real sockets, under load, with nothing lost.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was counted, and what was lost"
)]

#[path = "../wire/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod client;
#[path = "../wire/message.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod message;
#[path = "../wire/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod program;
#[path = "../wire/recorder.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod recorder;

mod broken;
mod listeners;
mod load;
mod spends;
mod systemd;
mod world;
