//! A caller's trace context reaches the API; and with the feature `otlp`, spans of bearerd's own reach a collector.

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

#[cfg(feature = "otlp")]
mod collector;
mod passed_on;
#[cfg(feature = "otlp")]
mod spans;
#[cfg(feature = "otlp")]
mod wire;
