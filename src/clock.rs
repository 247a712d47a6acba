//! Time, read in one place.
//!
//! A token expires at the earlier of two clocks: the wall clock, which people and servers share but which is
//! stepped, and the boot clock, which is steady and counts suspended time but means nothing after a reboot.
//! Everything else in the crate is handed a [`Now`].

mod jumps;
#[cfg_attr(not(target_os = "linux"), path = "clock/elsewhere.rs")]
mod system;

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use jumps::{Jumps, Reading};
use system::{boot_millis, read_boot_id, steady, wall_millis};

/// The longest sleep between two looks at the clock, well within what a timer of tokio's can be set to.
const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 3600);

/// One reading of both clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// Since the Unix epoch.
    pub wall: u64,
    /// Since this machine's boot, suspended time included.
    pub boot: u64,
    /// Which boot that was.
    pub boot_id: u64,
}

/// A moment in the future, kept on both clocks; the one that reaches it first decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Deadline {
    wall: u64,
    boot: u64,
    boot_id: u64,
}

impl Deadline {
    /// The moment `span` after `now`.
    pub fn after(now: Now, span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall: now.wall.saturating_add(span),
            boot: now.boot.saturating_add(span),
            boot_id: now.boot_id,
        }
    }

    /// Whether either clock has reached it. A boot clock of another boot says nothing.
    pub fn has_passed(&self, now: Now) -> bool {
        self.remaining(now).is_zero()
    }

    /// How long until it passes; zero once it has.
    pub fn remaining(&self, now: Now) -> Duration {
        let wall = self.wall.saturating_sub(now.wall);
        let left = if self.boot_id == now.boot_id {
            wall.min(self.boot.saturating_sub(now.boot))
        } else {
            wall
        };
        Duration::from_millis(left)
    }

    /// On the wall clock, in milliseconds since the Unix epoch: for people and for metrics.
    pub fn wall(&self) -> u64 {
        self.wall
    }

    /// The moment `span` earlier.
    pub fn earlier(&self, span: Duration) -> Self {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            wall: self.wall.saturating_sub(span),
            boot: self.boot.saturating_sub(span),
            boot_id: self.boot_id,
        }
    }
}

/// The program's clock: the system's, or one that a test moves by hand. Clones share it.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System { boot_id: u64, jumps: Arc<Jumps> },
    Manual(watch::Sender<Now>),
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::System { .. } => f.write_str("Clock(system)"),
            Source::Manual(_) => f.write_str("Clock(manual)"),
        }
    }
}

impl Clock {
    /// The machine's clocks.
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            boot_id: read_boot_id(),
            jumps: Jumps::new(read),
        }))
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn manual() -> Self {
        let start = Now {
            wall: 1_750_000_000_000,
            boot: 1_000_000,
            boot_id: 1,
        };
        Self(Arc::new(Source::Manual(watch::Sender::new(start))))
    }

    /// Both clocks, now.
    pub fn now(&self) -> Now {
        match &*self.0 {
            Source::System { boot_id, .. } => Now {
                wall: wall_millis(),
                boot: boot_millis(),
                boot_id: *boot_id,
            },
            Source::Manual(now) => *now.borrow(),
        }
    }

    /// The wall clock, in milliseconds since the Unix epoch: for people, at less than the cost of [`now`](Self::now).
    pub fn wall(&self) -> u64 {
        match &*self.0 {
            Source::System { .. } => wall_millis(),
            Source::Manual(now) => now.borrow().wall,
        }
    }

    /// A steady reading since an unspecified start, finer than [`Now`]: for measuring how long something took.
    pub fn monotonic(&self) -> Duration {
        match &*self.0 {
            Source::System { .. } => steady(),
            Source::Manual(now) => Duration::from_millis(now.borrow().boot),
        }
    }

    /// Moves a manual clock; the system's can't be moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(now) = &*self.0 {
            now.send_modify(|now| {
                now.wall += span.as_millis() as u64;
                now.boot += span.as_millis() as u64;
            });
        }
    }

    /// Steps a manual clock's wall time by so many milliseconds, as an operator may; its boot clock goes on. The
    /// system's can't be stepped.
    pub fn step(&self, millis: i64) {
        if let Source::Manual(now) = &*self.0 {
            now.send_modify(|now| now.wall = now.wall.saturating_add_signed(millis));
        }
    }

    /// Returns once `deadline` has passed on this clock.
    pub async fn sleep_until(&self, deadline: Deadline) {
        match &*self.0 {
            Source::System { jumps, .. } => {
                let mut jumped = jumps.listen();
                loop {
                    let left = deadline.remaining(self.now());
                    if left.is_zero() {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(left.min(LONGEST_SLEEP)) => {}
                        // The sender lives in `self`, so waiting cannot fail.
                        _ = jumped.changed() => {}
                    }
                }
            }
            Source::Manual(now) => {
                // The sender lives in `self`, so waiting cannot fail.
                let _ = now.subscribe().wait_for(|now| deadline.has_passed(*now)).await;
            }
        }
    }
}

/// All clocks, for noticing that they went apart.
fn read() -> Reading {
    Reading {
        wall: wall_millis(),
        boot: boot_millis(),
        steady: steady().as_millis() as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(wall: u64, boot: u64, boot_id: u64) -> Now {
        Now { wall, boot, boot_id }
    }

    #[test]
    fn the_earlier_clock_decides() {
        let deadline = Deadline::after(at(1_000, 500, 1), Duration::from_millis(100));
        assert!(!deadline.has_passed(at(1_099, 599, 1)));
        assert!(
            deadline.has_passed(at(1_100, 501, 1)),
            "the wall clock was stepped forward"
        );
        assert!(deadline.has_passed(at(900, 600, 1)), "the wall clock was stepped back");
    }

    #[test]
    fn after_a_reboot_only_the_wall_clock_counts() {
        let deadline = Deadline::after(at(1_000, 500, 1), Duration::from_millis(100));
        assert!(!deadline.has_passed(at(1_050, 9_999, 2)));
        assert_eq!(deadline.remaining(at(1_050, 0, 2)), Duration::from_millis(50));
    }

    #[test]
    fn a_step_moves_the_wall_clock_alone() {
        let clock = Clock::manual();
        let before = clock.now();
        clock.step(-3_600_000);
        let after = clock.now();
        assert_eq!((after.wall + 3_600_000, after.boot), (before.wall, before.boot));
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = Clock::manual();
        let deadline = Deadline::after(clock.now(), Duration::from_secs(3600));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(deadline).await }
        });
        clock.advance(Duration::from_secs(3600));
        sleeper.await.unwrap();
    }
}
