//! One span, one access line and one count for each request.
//!
//! This layer stands outside the one that puts credentials in, so it never sees one; it writes the path as the
//! caller sent it, and never the query. Where a subject is read from the path, those segments are shown as the route's
//! pattern has them; until the route is known nothing is shown. The line is written when the head of the answer is ready, or when the
//! caller went away before that.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{self, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Response, StatusCode};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Span;

use super::{Exchange, Inbound, ProxyError, route::Matched};
use crate::{
    clock::Clock,
    log::AccessLine,
    metrics::{Answered, Metrics},
    name::ListenerName,
};

/// nginx's number for a caller that went away before its answer; never sent to anybody.
const CALLER_GONE: u16 = 499;

/// Makes [`Trace`].
#[derive(Debug, Clone)]
pub struct TraceLayer(Arc<Context>);

/// What each line of a listener needs.
#[derive(Debug)]
struct Context {
    listener: ListenerName,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl TraceLayer {
    /// A layer of this listener that counts there, by this clock.
    pub fn new(listener: ListenerName, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self(Arc::new(Context {
            listener,
            metrics,
            clock,
        }))
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace {
            inner,
            context: self.0.clone(),
        }
    }
}

/// Traces the inner service's requests.
#[derive(Debug, Clone)]
pub struct Trace<S> {
    inner: S,
    context: Arc<Context>,
}

impl<S, B, R> Service<Inbound<B>> for Trace<S>
where
    S: Service<Inbound<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Traced<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, inbound: Inbound<B>) -> Self::Future {
        let line = Line {
            started: self.context.clock.monotonic(),
            context: self.context.clone(),
            exchange: inbound.exchange.clone(),
            is_written: false,
        };
        let span = tracing::debug_span!(
            target: "bearerd::request",
            "request",
            method = %line.exchange.method,
            path = tracing::field::Empty,
            request_id = line.id(),
        );
        let future = {
            let _entered = span.enter();
            self.inner.call(inbound)
        };
        // The layers within have decided on the route by now.
        if !span.is_disabled() {
            span.record("path", line.path());
        }
        Traced { future, span, line }
    }
}

pin_project! {
    /// The future of [`Trace`].
    pub struct Traced<F> {
        #[pin]
        future: F,
        span: Span,
        line: Line,
    }
}

impl<F, R> Future for Traced<F>
where
    F: Future<Output = Result<Response<R>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let _entered = this.span.enter();
        let Ok(response) = ready!(this.future.poll(cx));
        this.line.write(response.status(), response.extensions().get());
        Poll::Ready(Ok(response))
    }
}

/// The access line of one request: written once, at the latest when it is dropped.
struct Line {
    context: Arc<Context>,
    started: Duration,
    exchange: Arc<Exchange>,
    is_written: bool,
}

impl Line {
    fn id(&self) -> &str {
        let id = self.exchange.id().map(HeaderValue::to_str);
        id.and_then(Result::ok).unwrap_or_default()
    }

    /// The path as it may be told.
    fn path(&self) -> Option<&str> {
        match self.exchange.matched() {
            Some(Matched {
                masked: Some(masked), ..
            }) => Some(masked),
            None if !self.exchange.may_tell_path() => None,
            Some(_) | None => Some(self.exchange.uri.path()),
        }
    }

    fn write(&mut self, status: StatusCode, error: Option<&ProxyError>) {
        self.is_written = true;
        let elapsed = self.context.clock.monotonic().saturating_sub(self.started);
        let entry = self.exchange.matched().map(|matched| &matched.entry);
        let code = error.map(|error| error.code().as_str());
        let answered = Answered {
            status,
            code,
            took: elapsed,
            token: self.exchange.token_time(),
            upstream: self.exchange.upstream_time(),
        };
        match entry {
            Some(entry) => entry
                .counts
                .get_or_init(|| self.context.metrics.route(&entry.name))
                .request(answered),
            None => self.context.metrics.unrouted().request(answered),
        }
        let caller = self.exchange.caller().and_then(|caller| caller.name.as_ref());
        let line = AccessLine {
            listener: self.context.listener.as_str(),
            caller: caller.map(|name| name.as_str()),
            method: self.exchange.method.as_str(),
            path: self.path(),
            route: entry.map(|entry| entry.name.as_str()),
            upstream: entry.map(|entry| entry.target.name.as_str()),
            status: status.as_u16(),
            error: code.zip(error.map(|error| error as &dyn std::fmt::Display)),
            elapsed,
            replayed: self.exchange.was_replayed(),
            request_id: self.id(),
        };
        line.write();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.is_written {
            // 499 is between 100 and 999, which is all that a status code has to be.
            let gone = StatusCode::from_u16(CALLER_GONE).unwrap_or_default();
            self.write(gone, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use tower::{ServiceExt, service_fn};

    fn layer(metrics: &Arc<Metrics>) -> TraceLayer {
        TraceLayer::new("main".parse().unwrap(), metrics.clone(), Clock::manual())
    }

    #[tokio::test]
    async fn a_request_is_counted_with_its_status() {
        let metrics = Arc::new(Metrics::new());
        let inner = service_fn(|_: Inbound<()>| async { Ok(Response::builder().status(418).body(()).unwrap()) });
        layer(&metrics)
            .layer(inner)
            .oneshot(Inbound::new(Request::new(()), None))
            .await
            .unwrap();
        let page = metrics.page();
        assert!(
            page.contains(r#"requests_total{route="-",status="418",code=""} 1"#),
            "{page}"
        );
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_is_counted_too() {
        let metrics = Arc::new(Metrics::new());
        let inner = service_fn(|_: Inbound<()>| std::future::pending::<Result<Response<()>, Infallible>>());
        drop(
            layer(&metrics)
                .layer(inner)
                .oneshot(Inbound::new(Request::new(()), None)),
        );
        let mut service = layer(&metrics).layer(inner);
        drop(service.call(Inbound::new(Request::new(()), None)));
        let page = metrics.page();
        assert!(
            page.contains(r#"requests_total{route="-",status="499",code=""} 1"#),
            "{page}"
        );
    }
}
