//! The timer of a connection's request heads: one for the connection's life, put off for each request.
//!
//! hyper asks for a new timer with each request; putting an old one off costs a tenth of making one.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

use crate::upstream;

/// One timer, as often as it is asked for: an HTTP/1 connection reads one head at a time.
#[derive(Clone)]
pub(super) struct HeadTimer(Arc<Mutex<upstream::Timer>>);

impl HeadTimer {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(upstream::Timer::after(Duration::ZERO))))
    }

    fn timer(&self) -> MutexGuard<'_, upstream::Timer> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.timer().set(deadline.into());
        Box::pin(Sleeping(self.clone()))
    }
}

struct Sleeping(HeadTimer);

impl Sleep for Sleeping {}

impl Future for Sleeping {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut *self.0.timer()).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[expect(clippy::disallowed_methods, reason = "hyper's timers are set on tokio's clock")]
    async fn each_wait_is_as_long_as_was_asked_for() {
        let timer = HeadTimer::new();
        let clock = tokio::time::Instant::now;
        for seconds in [5, 1, 3] {
            let start = clock();
            timer.sleep_until((start + Duration::from_secs(seconds)).into()).await;
            assert_eq!(start.elapsed().as_secs(), seconds);
        }
        // One that was given up does not cut the next one short.
        let start = clock();
        drop(timer.sleep_until((start + Duration::from_secs(1)).into()));
        timer.sleep_until((start + Duration::from_secs(9)).into()).await;
        assert_eq!(start.elapsed().as_secs(), 9);
    }
}
