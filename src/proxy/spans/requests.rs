//! The span of a request, from its head to the head of its answer, as its access line counts.

use std::{
    future::Future,
    pin::Pin,
    task::{self, Poll, ready},
};

use http::Response;
use opentelemetry::{
    Context, KeyValue,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::seen::Seen;
use crate::{
    name::ListenerName,
    proxy::{ProxyError, request_id::REQUEST_ID},
    traces,
};

/// A layer that begins a span for each request of this listener, within the trace that its caller names.
pub fn of_requests(listener: &ListenerName) -> RequestsLayer {
    RequestsLayer(listener.clone())
}

/// Makes [`Requests`].
#[derive(Debug, Clone)]
pub struct RequestsLayer(ListenerName);

impl<S> Layer<S> for RequestsLayer {
    type Service = Requests<S>;

    fn layer(&self, inner: S) -> Requests<S> {
        Requests {
            inner,
            listener: self.0.clone(),
        }
    }
}

/// Gives each request a span, which is the current one while the inner service works on it.
#[derive(Debug, Clone)]
pub struct Requests<S> {
    inner: S,
    listener: ListenerName,
}

impl<S> Requests<S> {
    /// The span of this request, if there is a tracer.
    fn begin(&self, request: &impl Seen) -> Option<Context> {
        let tracer = traces::tracer()?;
        let parent = traces::extract(request.headers());
        let method = request.method().as_str();
        let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let span = tracer
            .span_builder(method.to_owned())
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", method.to_owned()),
                KeyValue::new("bearerd.listener", self.listener.to_string()),
                KeyValue::new("bearerd.request_id", id.unwrap_or_default().to_owned()),
            ]);
        let span = tracer.build_with_context(span, &parent);
        Some(parent.with_span(span))
    }
}

impl<S, R: Seen, B> Service<R> for Requests<S>
where
    S: Service<R, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = InSpan<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let span = self.begin(&request);
        let _current = span.clone().map(Context::attach);
        InSpan {
            future: self.inner.call(request),
            span,
        }
    }
}

pin_project! {
    /// The future of [`Requests`]. Dropped early, it ends its span without a status: the caller went away.
    pub struct InSpan<F> {
        #[pin]
        future: F,
        span: Option<Context>,
    }
}

impl<F, R, E> Future for InSpan<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _current = this.span.clone().map(Context::attach);
        let outcome = ready!(this.future.poll(cx));
        if let (Some(span), Ok(answer)) = (this.span.take(), &outcome) {
            let span = span.span();
            let status = answer.status();
            span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
            if let Some(error) = answer.extensions().get::<ProxyError>() {
                span.set_attribute(KeyValue::new("error.type", error.code().as_str()));
            }
            if status.is_server_error() {
                span.set_status(Status::error(""));
            }
            span.end();
        }
        Poll::Ready(outcome)
    }
}
