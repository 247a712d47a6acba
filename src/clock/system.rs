//! The system's clocks, asked without the standard library's arithmetic around them: it is done for each request.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(super) fn wall_millis() -> u64 {
    millis(ClockId::Realtime)
}

pub(super) fn boot_millis() -> u64 {
    millis(ClockId::Boottime)
}

pub(super) fn steady() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn millis(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    // A wall clock may have been set to a time before 1970.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + (time.tv_nsec as u64) / 1_000_000
}

pub(super) fn read_boot_id() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // The first sixty-four of its random bits tell boots apart well enough.
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    digits
        .get(..16)
        .and_then(|head| u64::from_str_radix(head, 16).ok())
        .unwrap_or(0)
}
