//! Noticing that a clock went otherwise than timers do: the wall clock was stepped, or the machine was suspended.
//!
//! tokio's timers stand still in suspend and know nothing of the wall clock. One look for all who sleep tells them, so
//! that a thousand sleepers are a thousand timers that nothing wakes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Less than this is no jump but the way that clocks are kept right, in milliseconds; what it sums up to is one.
const JUMP: i64 = 100;

/// Tells sleepers of jumps, and looks for them while there are sleepers.
pub(super) struct Jumps {
    told: watch::Sender<()>,
    looking: Mutex<Option<AbortHandle>>,
    read: fn() -> Reading,
}

/// What the clocks show, in milliseconds.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) wall: u64,
    pub(super) boot: u64,
    /// As timers count.
    pub(super) steady: u64,
}

impl Reading {
    /// How far the two clocks are ahead of timers.
    fn ahead(self) -> [i64; 2] {
        [self.wall, self.boot].map(|clock| clock.wrapping_sub(self.steady).cast_signed())
    }
}

impl Jumps {
    pub(super) fn new(read: fn() -> Reading) -> Arc<Self> {
        Arc::new(Self {
            told: watch::Sender::new(()),
            looking: Mutex::default(),
            read,
        })
    }

    /// Hears of every jump from now on. Must be called within a runtime.
    pub(super) fn listen(self: &Arc<Self>) -> watch::Receiver<()> {
        let told = self.told.subscribe();
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        // One that ended with its runtime looks no more.
        if looking.as_ref().is_none_or(AbortHandle::is_finished) {
            let before = (self.read)().ahead();
            *looking = Some(tokio::spawn(look(self.clone(), before)).abort_handle());
        }
        told
    }

    /// Whether nobody sleeps any more; then nobody looks either.
    fn is_over(&self) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = self.told.receiver_count() == 0;
        if is_over {
            *looking = None;
        }
        is_over
    }
}

async fn look(jumps: Arc<Jumps>, mut before: [i64; 2]) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if jumps.is_over() {
            return;
        }
        let now = (jumps.read)().ahead();
        if before.iter().zip(now).any(|(before, now)| (now - before).abs() >= JUMP) {
            before = now;
            jumps.told.send_replace(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_and_a_suspend_are_told_and_steady_time_is_not() {
        static WALL: AtomicU64 = AtomicU64::new(1_000_000);
        static BOOT: AtomicU64 = AtomicU64::new(1_000);
        let jumps = Jumps::new(|| Reading {
            wall: WALL.load(Ordering::SeqCst),
            boot: BOOT.load(Ordering::SeqCst),
            steady: 500,
        });
        let mut told = jumps.listen();
        let look = || tokio::time::sleep(LOOK_EVERY + Duration::from_millis(1));
        look().await;
        assert!(!told.has_changed().unwrap());
        WALL.fetch_sub(3_600_000, Ordering::SeqCst);
        look().await;
        assert!(told.has_changed().unwrap(), "the wall clock was stepped back");
        told.borrow_and_update();
        BOOT.fetch_add(60_000, Ordering::SeqCst);
        look().await;
        assert!(told.has_changed().unwrap(), "the machine was suspended");
        told.borrow_and_update();
        // A clock that is kept right, little by little.
        for _ in 0..9 {
            WALL.fetch_add(10, Ordering::SeqCst);
            look().await;
            assert!(!told.has_changed().unwrap());
        }
        WALL.fetch_add(10, Ordering::SeqCst);
        look().await;
        assert!(told.has_changed().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn one_looks_for_all_who_sleep_and_nobody_for_none() {
        let jumps = Jumps::new(|| Reading {
            wall: 0,
            boot: 0,
            steady: 0,
        });
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let sleepers: Vec<_> = (0..1_000).map(|_| jumps.listen()).collect();
        assert_eq!(tasks(), 1);
        drop(sleepers);
        tokio::time::sleep(2 * LOOK_EVERY).await;
        assert_eq!(tasks(), 0);
        let _sleeper = jumps.listen();
        assert_eq!(tasks(), 1);
    }
}
