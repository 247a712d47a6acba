//! What nobody thought of: everything that reads what others wrote, given what chance makes of a few good texts.
//!
//! Each target runs for a moment; `BEARERD_FUZZ=60 cargo test --test fuzz` gives each of them 60 seconds.

mod mutate;
mod requests;
mod stack;
mod texts;
mod upstream;

#[path = "../wire/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which use all of it")]
mod client;
#[path = "../wire/message.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which use all of it")]
mod message;
#[path = "../wire/program.rs"]
#[allow(dead_code, reason = "shared with the tests of the wire, which use all of it")]
mod program;

use std::time::Duration;

use bearerd::clock::Clock;
use proptest::{
    strategy::Strategy,
    test_runner::{Config, TestCaseError, TestRunner},
};

/// How long each target runs where nobody says.
const MOMENT: Duration = Duration::from_secs(3);

/// How many cases are made between two looks at the clock.
const ROUND: u32 = 64;

fn budget() -> Duration {
    let seconds = std::env::var("BEARERD_FUZZ")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    seconds.map_or(MOMENT, Duration::from_secs)
}

/// Runs a property for as long as there is time; a case that fails is made as small as it can be, and shown.
#[expect(clippy::print_stderr, reason = "shown with --nocapture, or when the test fails")]
fn fuzz<S: Strategy>(target: &str, cases: &S, holds: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let clock = Clock::system();
    let start = clock.monotonic();
    let mut made = 0;
    // With seeds of its own each time: what was found once belongs into the tests that say what is right.
    let config = Config {
        cases: ROUND,
        failure_persistence: None,
        ..Config::default()
    };
    while clock.monotonic().saturating_sub(start) < budget() {
        if let Err(failure) = TestRunner::new(config.clone()).run(cases, &holds) {
            panic!("{target}: {failure}");
        }
        made += ROUND;
    }
    eprintln!("{target}: {made} cases");
}

/// The texts of a folder of the repository whose names end so.
fn seeds(folder: &str, end: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(end)))
        .collect();
    paths.sort();
    assert!(paths.len() >= 3, "a corpus");
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}
