//! A future that hardly ever has anything to say, beside one that is polled all the time.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::bell::Bell;

pin_project! {
    /// Polls its future once, and then only when that was woken itself: otherwise each byte of a connection would ask
    /// anew whether its time is up, or the end of the program has begun.
    #[derive(Debug)]
    pub struct Seldom<F> {
        #[pin]
        future: F,
        bell: Bell,
    }
}

impl<F> Seldom<F> {
    /// This future.
    pub fn new(future: F) -> Self {
        let bell = Bell::default();
        // For the first poll.
        bell.ring_silently();
        Self { future, bell }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // First, so that a ring from now on wakes this task.
        this.bell.listen(cx);
        if !this.bell.has_rung() {
            return Poll::Pending;
        }
        this.future.poll(&mut Context::from_waker(this.bell.waker()))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        pin::pin,
        sync::atomic::{AtomicUsize, Ordering},
    };

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
