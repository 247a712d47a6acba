//! Who may call: keys, client certificates and users, and TLS on listeners, by the real binary and real sockets.

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

mod authority;
mod certificates;
mod keys;
mod sockets;
mod tls;
mod world;
