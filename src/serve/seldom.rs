//! A future that hardly ever has anything to say, beside one that is polled all the time.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use atomic_waker::AtomicWaker;
use pin_project_lite::pin_project;

pin_project! {
    /// Polls its future once, and then only when that was woken itself: otherwise each byte of a connection would ask
    /// anew whether the end of the program has begun.
    pub(super) struct Seldom<F> {
        #[pin]
        future: F,
        bell: Arc<Bell>,
        waker: Waker,
    }
}

struct Bell {
    has_rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // In this order, so that whoever has been woken sees it.
        self.has_rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F> Seldom<F> {
    pub(super) fn new(future: F) -> Self {
        let bell = Arc::new(Bell {
            has_rung: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            future,
            waker: Waker::from(bell.clone()),
            bell,
        }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // First, so that a ring from now on wakes this task.
        this.bell.task.register(cx.waker());
        if !this.bell.has_rung.swap(false, Ordering::Acquire) {
            return Poll::Pending;
        }
        this.future.poll(&mut Context::from_waker(this.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, sync::atomic::AtomicUsize};

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_before() {
        let polls = AtomicUsize::new(0);
        let (sender, mut receiver) = oneshot::channel();
        let counted = poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut receiver).poll(cx)
        });
        let mut seldom = pin!(Seldom::new(counted));
        for _ in 0..100 {
            let polled = poll_fn(|cx| Poll::Ready(seldom.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        let said = tokio::spawn(async move { sender.send("now") });
        assert_eq!(seldom.await, Ok("now"));
        said.await.unwrap().unwrap();
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
