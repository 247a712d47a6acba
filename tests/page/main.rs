//! The status page and what it is made of: by real sockets, and in a real browser.

#![allow(clippy::print_stdout, reason = "a skipped test says why, and where its pictures are")]

mod browser;
#[path = "../browser/chromium.rs"]
mod chromium;
#[path = "../wire/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod client;
mod devtools;
mod events;
#[path = "../wire/message.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod message;
#[path = "../wire/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire")]
mod program;
mod sockets;
mod world;
