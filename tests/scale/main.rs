//! What there may be many of costs little each, and nothing while nobody uses it: counted, not timed.

#![allow(clippy::print_stdout, reason = "figures are what some of them are for")]

mod config;
mod idle;
mod subjects;
mod world;

use tikv_jemalloc_ctl::{epoch, stats};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What the process has allocated and not freed, in bytes. Tests that read it run one at a time, within [`ALONE`].
fn held() -> usize {
    epoch::advance().unwrap();
    stats::allocated::read().unwrap()
}

/// Held by each test: what another one allocates would be counted as its own.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Lets every task that can go on do so.
async fn all_have_had_their_turn() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
