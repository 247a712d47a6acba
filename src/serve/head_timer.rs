//! How long a client may take to send a request's head.
//!
//! hyper asks for a timer with each request, and drops it once the head is there. Nearly always it is there soon: so what
//! hyper is given only says that a head is being waited for, and one timer for the connection's life looks at that from
//! time to time. That it is dropped with each head is held by tests of whole connections.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

/// How often the connection's timer looks, in the time that a head may take. That long it takes at least, and up to a
/// look longer.
const LOOKS: u8 = 4;

/// hyper's timer of one HTTP/1 connection, which reads one head at a time.
#[derive(Clone)]
pub(super) struct HeadTimer {
    /// How often the head that is waited for has been looked for, and once more; nothing while none is.
    wait: Arc<AtomicU8>,
    /// What hyper takes for the present: it is no part of what is measured.
    present: Instant,
}

impl HeadTimer {
    #[expect(clippy::disallowed_methods, reason = "hyper wants some moment of the system's clock")]
    pub(super) fn new() -> Self {
        Self {
            wait: Arc::default(),
            present: Instant::now(),
        }
    }

    /// Ends when a head has been waited for so long.
    pub(super) async fn expired(self, patience: Duration) {
        loop {
            tokio::time::sleep(patience / u32::from(LOOKS)).await;
            // Nobody else writes meanwhile: this is polled by the connection's task, as hyper is.
            match self.wait.load(Ordering::Relaxed) {
                0 => {}
                seen if seen > LOOKS => return,
                seen => self.wait.store(seen + 1, Ordering::Relaxed),
            }
        }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        self.wait.store(1, Ordering::Relaxed);
        Box::pin(Waiting(self.wait.clone()))
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(Duration::ZERO)
    }

    /// One more head, with a timer that hyper has kept.
    fn reset(&self, _: &mut Pin<Box<dyn Sleep>>, _: Instant) {
        self.wait.store(1, Ordering::Relaxed);
    }

    fn now(&self) -> Instant {
        self.present
    }
}

/// For as long as this is there, a head is waited for.
struct Waiting(Arc<AtomicU8>);

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(12);

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "hyper's timers are set on tokio's clock")]
    async fn a_head_has_its_time_and_hardly_more_and_nothing_else_is_cut_off() {
        let clock = tokio::time::Instant::now;
        for offset in 0..8 {
            let timer = HeadTimer::new();
            let expired = timer.clone().expired(PATIENCE);
            tokio::pin!(expired);
            let wait = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
            wait(offset).await;
            // Heads that come in time, and a request that takes as long as it takes.
            for seconds in [11, 2, 11, 12] {
                let head = timer.sleep_until(timer.now() + PATIENCE);
                assert!(
                    tokio::time::timeout(Duration::from_secs(seconds), &mut expired)
                        .await
                        .is_err()
                );
                drop(head);
            }
            assert!(tokio::time::timeout(20 * PATIENCE, &mut expired).await.is_err());
            let start = clock();
            let _head = timer.sleep_until(timer.now() + PATIENCE);
            expired.await;
            let most = PATIENCE + PATIENCE / u32::from(LOOKS);
            assert!((PATIENCE..=most).contains(&start.elapsed()), "{:?}", start.elapsed());
        }
    }
}
