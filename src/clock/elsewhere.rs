//! Elsewhere the process's own steady clock stands in for the boot clock; its boot id is of this process alone.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(super) fn wall_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

pub(super) fn boot_millis() -> u64 {
    steady().as_millis() as u64
}

#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(super) fn steady() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}

pub(super) fn read_boot_id() -> u64 {
    u64::from(std::process::id()) ^ boot_millis()
}
