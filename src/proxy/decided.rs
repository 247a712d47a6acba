//! The future of a layer that either refuses a request on sight or passes it on unchanged in kind.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

use super::ProxyError;

pin_project! {
    /// Refused at once, or whatever the inner service says. What passes pays for no error: those are large, and in a box.
    #[project = DecidedProjection]
    pub enum Decided<F> {
        // With this error; `None` once it was told.
        Refused { error: Option<Box<ProxyError>> },
        // On to the inner service.
        Passed { #[pin] future: F },
    }
}

impl<F> Decided<F> {
    pub(super) fn refused(error: ProxyError) -> Self {
        Self::Refused {
            error: Some(Box::new(error)),
        }
    }

    /// Neither: it is never polled.
    pub(super) fn nothing() -> Self {
        Self::Refused { error: None }
    }

    pub(super) fn passed(future: F) -> Self {
        Self::Passed { future }
    }
}

impl<F, T> Future for Decided<F>
where
    F: Future<Output = Result<T, ProxyError>>,
{
    type Output = Result<T, ProxyError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            DecidedProjection::Passed { future } => future.poll(cx),
            DecidedProjection::Refused { error } => match error.take() {
                Some(error) => Poll::Ready(Err(*error)),
                // Polled after it was ready, which no executor does.
                None => Poll::Pending,
            },
        }
    }
}
