//! A timer that is set anew for each request, and hardly ever fires.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// A future that ends at its deadline. Putting that off is noted, and seen to when the timer fires: so it costs no look at
/// the runtime's timers.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl Timer {
    /// One that ends after so long.
    pub(super) fn after(wait: Duration) -> Self {
        let sleep = tokio::time::sleep(wait);
        Self {
            deadline: sleep.deadline(),
            sleep: Box::pin(sleep),
        }
    }

    /// It ends then, whatever it was set to, and whether or not it has ended before.
    pub(super) fn set(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            let deadline = self.deadline;
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "it is set on tokio's clock")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_was_set_to_last() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut timer = Timer::after(Duration::from_secs(5));
        timer.set(after(9));
        timer.set(after(20));
        (&mut timer).await;
        assert_eq!(start.elapsed(), Duration::from_secs(20));

        // Once more; sooner than before; and while it waits already.
        timer.set(after(30));
        (&mut timer).await;
        assert_eq!(start.elapsed(), Duration::from_secs(30));
        timer.set(after(90));
        assert!(tokio::time::timeout(Duration::from_secs(1), &mut timer).await.is_err());
        timer.set(after(40));
        (&mut timer).await;
        assert_eq!(start.elapsed(), Duration::from_secs(40));

        // It fires while nobody waits, and it is noticed that it was put off.
        timer.set(after(50));
        tokio::time::sleep_until(after(60)).await;
        timer.set(after(70));
        (&mut timer).await;
        assert_eq!(start.elapsed(), Duration::from_secs(70));
    }
}
