//! `OPTIONS *` (RFC 9110 §9.3.7): a question about the server as a whole, which is bearerd, so no upstream is asked.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Method, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Inbound, ProxyError};
use crate::upstream::Body;

/// Makes [`Asterisk`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AsteriskLayer;

impl<S> Layer<S> for AsteriskLayer {
    type Service = Asterisk<S>;

    fn layer(&self, inner: S) -> Asterisk<S> {
        Asterisk { inner }
    }
}

/// Answers `OPTIONS *` with nothing: that it is answered says enough.
#[derive(Debug, Clone)]
pub struct Asterisk<S> {
    inner: S,
}

impl<S, B> Service<Inbound<B>> for Asterisk<S>
where
    S: Service<Inbound<B>, Response = Response<Body>, Error = ProxyError>,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answered<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, inbound: Inbound<B>) -> Self::Future {
        let head = &inbound.head;
        let is_asterisk = head.method == Method::OPTIONS && head.uri.path() == "*";
        Answered {
            passed: (!is_asterisk).then(|| self.inner.call(inbound)),
        }
    }
}

pin_project! {
    /// The future of [`Asterisk`].
    pub struct Answered<F> {
        #[pin]
        passed: Option<F>,
    }
}

impl<F> Future for Answered<F>
where
    F: Future<Output = Result<Response<Body>, ProxyError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().passed.as_pin_mut() {
            Some(passed) => passed.poll(cx),
            None => {
                let mut answer = Response::new(Body::default());
                *answer.status_mut() = StatusCode::NO_CONTENT;
                Poll::Ready(Ok(answer))
            }
        }
    }
}
