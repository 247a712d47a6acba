//! An answer's body that must go on, and come to an end.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::{task::coop::unconstrained, time::Sleep};

use crate::{
    proxy::route::Target,
    upstream::{Body, BoxError},
};

/// Returns when the timer has run down; never, if there is none.
pub(super) async fn passed(timer: &mut Option<Pin<Box<Sleep>>>) {
    match timer {
        // However much of the task's budget the answer has used up.
        Some(timer) => unconstrained(timer.as_mut()).await,
        None => std::future::pending().await,
    }
}

/// A body that is cut off where a limit is met: the caller sees that it is not whole.
pub(super) struct Timed {
    body: Body,
    deadline: Option<Pin<Box<Sleep>>>,
    idle: Option<Idle>,
    target: Arc<Target>,
}

struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether it runs: it doesn't while the caller reads nothing.
    runs: bool,
}

impl Timed {
    pub(super) fn new(
        body: Body,
        deadline: Option<Pin<Box<Sleep>>>,
        idle: Option<Duration>,
        target: Arc<Target>,
    ) -> Self {
        let idle = idle.map(|limit| Idle {
            limit,
            timer: Box::pin(tokio::time::sleep(limit)),
            runs: false,
        });
        Self {
            body,
            deadline,
            idle,
            target,
        }
    }

    /// Which limit is met while nothing comes.
    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        if let Some(deadline) = &mut self.deadline
            && deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready("limits.deadline");
        }
        let Some(idle) = &mut self.idle else {
            return Poll::Pending;
        };
        if !idle.runs {
            idle.timer.set(tokio::time::sleep(idle.limit));
            idle.runs = true;
        }
        idle.timer.as_mut().poll(cx).map(|()| "limits.idle")
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(idle) = &mut self.idle {
                idle.runs = false;
            }
            // A body that drips is late however often it does.
            let is_late = self
                .deadline
                .as_mut()
                .is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready());
            if !(is_late && matches!(frame, Some(Ok(_)))) {
                return Poll::Ready(frame);
            }
        }
        let limit = std::task::ready!(self.poll_limits(cx));
        let upstream = self.target.name.as_str();
        tracing::info!(upstream, limit, "an answer is cut off before its end");
        // Its connection is closed with it.
        self.body = Body::default();
        Poll::Ready(Some(Err(format!("the answer was cut off by {limit}").into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin};

    use tokio::task::coop::poll_proceed;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_has_run_down_for_a_task_whose_budget_is_used_up_too() {
        let patience = Duration::from_secs(1);
        let mut timer = Some(Box::pin(tokio::time::sleep(patience)));
        tokio::time::advance(patience).await;
        let has_passed = poll_fn(|cx| {
            while let Poll::Ready(unit) = poll_proceed(cx) {
                unit.made_progress();
            }
            Poll::Ready(pin!(passed(&mut timer)).poll(cx).is_ready())
        });
        assert!(has_passed.await);
    }
}
