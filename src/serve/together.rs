//! Answers that leave together.
//!
//! A write wakes whoever reads at the other end, and waking one who sleeps costs more than the write. With many answers
//! under way, each written as soon as it is there, the caller takes one, sleeps, and is woken for the next. So an answer
//! waits until every task that can run has run, and then all of them are written in one go: the caller is woken once, and
//! the code that finds answers and the code that writes them each stay in the processor's cache meanwhile. One that is
//! alone costs a look for other work.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::task::yield_now;

pin_project! {
    /// A future that lets all others go first that can run now, once it has its outcome.
    #[derive(Debug)]
    pub(super) struct Together<F: Future> {
        #[pin]
        future: F,
        outcome: Option<F::Output>,
    }
}

impl<F: Future> Together<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future, outcome: None }
    }
}

impl<F: Future> Future for Together<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        // Whoever has woken the task meanwhile, it had its turn.
        if let Some(outcome) = this.outcome.take() {
            return Poll::Ready(outcome);
        }
        let outcome = ready!(this.future.poll(context));
        // The runtime wakes those that yield after everybody else had a turn, and has looked for more who can run.
        if pin!(yield_now()).poll(context).is_pending() {
            *this.outcome = Some(outcome);
            return Poll::Pending;
        }
        Poll::Ready(outcome)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn who_can_run_together_ends_together() {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let task = |name: &'static str| {
            let (found, written) = (notes.clone(), notes.clone());
            tokio::spawn(async move {
                let answer = Together::new(async move { found.lock().unwrap().push(format!("{name} found")) });
                answer.await;
                written.lock().unwrap().push(format!("{name} written"));
            })
        };
        let (one, other) = (task("one"), task("other"));
        one.await.unwrap();
        other.await.unwrap();
        let notes: Vec<String> = notes.lock().unwrap().clone();
        let ends = |notes: &[String], with: &str| notes.iter().all(|note| note.ends_with(with));
        assert!(ends(&notes[..2], "found") && ends(&notes[2..], "written"), "{notes:?}");
    }

    #[tokio::test]
    async fn an_outcome_is_given_at_the_next_poll_whoever_asks() {
        let mut together = pin!(Together::new(std::future::ready(7)));
        let polled = std::future::poll_fn(|context| {
            let first = together.as_mut().poll(context);
            Poll::Ready((first, together.as_mut().poll(context)))
        });
        assert_eq!(polled.await, (Poll::Pending, Poll::Ready(7)));
    }
}
