//! How many requests are under way at once, and who is next.
//!
//! Each HTTP/1.1 request has a connection of its own: without a bound, a burst of callers in front of an upstream that
//! hangs would open connections until the process has no descriptors left, and that is everybody's trouble.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::UpstreamError;

/// How many requests there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// How many may be under way at once, from the connection to the end of the answer.
    pub concurrency: usize,
    /// How many more may wait.
    pub queue: usize,
    /// How long each of those may wait.
    pub queue_timeout: Duration,
}

impl Room {
    /// Where the config doesn't say: more than any API wants from one caller, and few enough to be remembered.
    pub const DEFAULT: Self = Self {
        concurrency: 1024,
        queue: 20_000,
        queue_timeout: Duration::from_secs(10),
    };

    /// The most that `concurrency` can be.
    pub const MOST: usize = Semaphore::MAX_PERMITS;
}

impl Default for Room {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The places of one upstream.
pub(super) struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
    room: Room,
}

/// One that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    pub(super) fn new(room: &Room) -> Self {
        Self {
            free: Semaphore::new(room.concurrency.min(Room::MOST)),
            waiting: AtomicUsize::new(0),
            room: *room,
        }
    }

    /// How many have a place, and how many wait for one.
    pub(super) fn taken(&self) -> (usize, usize) {
        let places = self.room.concurrency.min(Room::MOST);
        let taken = places.saturating_sub(self.free.available_permits());
        (taken, self.waiting.load(Ordering::Relaxed))
    }

    /// A place, if there is a free one and nobody waits for it.
    pub(super) fn at_once(&self) -> Option<SemaphorePermit<'_>> {
        self.free.try_acquire().ok()
    }

    /// A place whose permit was forgotten is free again.
    pub(super) fn leave(&self) {
        self.free.add_permits(1);
    }

    /// A place, once it is this one's turn.
    pub(super) async fn in_line(&self, host: &str) -> Result<SemaphorePermit<'_>, UpstreamError> {
        let Room {
            concurrency,
            queue,
            queue_timeout,
        } = self.room;
        let overloaded = |reason| UpstreamError::Overloaded {
            host: host.to_owned(),
            reason,
        };
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if waiting >= queue {
            return Err(overloaded(format!(
                "{concurrency} requests are under way (limits.concurrency), and {queue} more wait (limits.queue)"
            )));
        }
        match tokio::time::timeout(queue_timeout, self.free.acquire()).await {
            Ok(Ok(place)) => Ok(place),
            // Nobody closes the semaphore, so this is the time limit.
            _ => Err(overloaded(format!(
                "{concurrency} requests are under way (limits.concurrency), and this one has waited for {} ms \
                 (limits.queue_timeout)",
                queue_timeout.as_millis()
            ))),
        }
    }
}
