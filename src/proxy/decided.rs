//! The future of a layer that either refuses a request on sight or passes it on unchanged in kind.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::ProxyError;

pin_project! {
    /// Refused at once, or whatever the inner service says; no allocation either way.
    #[project = DecidedProjection]
    pub struct Decided<F> {
        refusal: Option<ProxyError>,
        #[pin]
        passed: Option<F>,
    }
}

impl<F> Decided<F> {
    pub(super) fn refused(error: ProxyError) -> Self {
        Self {
            refusal: Some(error),
            passed: None,
        }
    }

    /// Neither: it is never polled.
    pub(super) fn nothing() -> Self {
        Self {
            refusal: None,
            passed: None,
        }
    }

    pub(super) fn passed(future: F) -> Self {
        Self {
            refusal: None,
            passed: Some(future),
        }
    }
}

impl<F, T> Future for Decided<F>
where
    F: Future<Output = Result<T, ProxyError>>,
{
    type Output = Result<T, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match (this.passed.as_pin_mut(), this.refusal.take()) {
            (Some(future), _) => future.poll(cx),
            (None, Some(error)) => Poll::Ready(Err(error)),
            // Polled after it was ready, which no executor does.
            (None, None) => Poll::Pending,
        }
    }
}
