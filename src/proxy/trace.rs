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
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{self, Poll, ready},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Span;

use super::{
    ProxyError,
    request_id::REQUEST_ID,
    route::{Entry, Router},
};
use crate::{clock::Clock, metrics::Metrics, name::ListenerName};

/// The target of access lines.
pub const ACCESS: &str = "bearerd::access";

/// nginx's number for a caller that went away before its answer; never sent to anybody.
const CALLER_GONE: u16 = 499;

/// What inner layers tell the access line: an extension of each request.
#[derive(Debug, Default)]
pub struct Facts {
    route: OnceLock<(Arc<Entry>, Option<String>)>,
    was_replayed: AtomicBool,
}

impl Facts {
    /// The request has this route, and its path, if its own may not be told, is told like this.
    pub fn set_route(&self, entry: Arc<Entry>, masked: Option<String>) {
        // A request is routed once.
        let _ = self.route.set((entry, masked));
    }

    /// The request was sent a second time.
    pub fn set_replayed(&self) {
        self.was_replayed.store(true, Ordering::Relaxed);
    }
}

/// Makes [`Trace`].
#[derive(Debug, Clone)]
pub struct TraceLayer(Arc<Context>);

/// What each line of a listener needs.
#[derive(Debug)]
struct Context {
    listener: ListenerName,
    router: Arc<ArcSwap<Router>>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl TraceLayer {
    /// A layer of this router's listener that counts there, by this clock.
    pub fn new(listener: ListenerName, router: Arc<ArcSwap<Router>>, metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self(Arc::new(Context {
            listener,
            router,
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

impl<S, B, R> Service<Request<B>> for Trace<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    type Response = Response<R>;
    type Error = Infallible;
    type Future = Traced<S::Future>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let facts = Arc::new(Facts::default());
        request.extensions_mut().insert(facts.clone());
        let line = Line {
            started: self.context.clock.monotonic(),
            context: self.context.clone(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            id: request.headers().get(REQUEST_ID).cloned(),
            facts,
            hides_unrouted: self.context.router.load().reads_paths(),
            is_written: false,
        };
        let span = tracing::debug_span!(
            target: "bearerd::request",
            "request",
            method = %line.method,
            path = tracing::field::Empty,
            request_id = line.id(),
        );
        let future = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        // The layers within have decided on the route by now.
        if let Some(path) = line.path() {
            span.record("path", path);
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
    method: Method,
    uri: Uri,
    id: Option<HeaderValue>,
    facts: Arc<Facts>,
    /// Whether the path of a request without route may hold a part of a subject, mistyped or with another method.
    hides_unrouted: bool,
    is_written: bool,
}

impl Line {
    fn id(&self) -> &str {
        self.id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or_default()
    }

    /// The path as it may be told.
    fn path(&self) -> Option<&str> {
        match self.facts.route.get() {
            Some((_, Some(masked))) => Some(masked),
            None if self.hides_unrouted => None,
            Some((_, None)) | None => Some(self.uri.path()),
        }
    }

    fn write(&mut self, status: StatusCode, error: Option<&ProxyError>) {
        self.is_written = true;
        let elapsed = self.context.clock.monotonic().saturating_sub(self.started);
        let entry = self.facts.route.get().map(|(entry, _)| entry);
        match entry {
            Some(entry) => entry
                .counts
                .get_or_init(|| self.context.metrics.route(&entry.name))
                .request(status, elapsed),
            None => self.context.metrics.unrouted().request(status, elapsed),
        }
        tracing::info!(
            target: ACCESS,
            listener = self.context.listener.as_str(),
            method = self.method.as_str(),
            path = self.path(),
            route = entry.map(|entry| entry.name.as_str()),
            upstream = entry.map(|entry| entry.target.name.as_str()),
            status = status.as_u16(),
            code = error.map(|error| error.code().as_str()),
            detail = error.map(tracing::field::display),
            duration_ms = elapsed.as_micros() as f64 / 1_000.0,
            replayed = self.facts.was_replayed.load(Ordering::Relaxed),
            request_id = self.id(),
        );
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
    use crate::proxy::fixtures;
    use tower::{ServiceExt, service_fn};

    fn layer(metrics: &Arc<Metrics>) -> TraceLayer {
        let router = Arc::new(ArcSwap::from_pointee(fixtures::router(&[], vec![]).unwrap()));
        TraceLayer::new("main".parse().unwrap(), router, metrics.clone(), Clock::manual())
    }

    #[tokio::test]
    async fn a_request_is_counted_with_its_status() {
        let metrics = Arc::new(Metrics::new());
        let inner = service_fn(|_: Request<()>| async { Ok(Response::builder().status(418).body(()).unwrap()) });
        layer(&metrics).layer(inner).oneshot(Request::new(())).await.unwrap();
        let page = metrics.page();
        assert!(page.contains(r#"requests_total{route="-",status="418"} 1"#), "{page}");
    }

    #[tokio::test]
    async fn a_caller_that_goes_away_is_counted_too() {
        let metrics = Arc::new(Metrics::new());
        let inner = service_fn(|_: Request<()>| std::future::pending::<Result<Response<()>, Infallible>>());
        drop(layer(&metrics).layer(inner).oneshot(Request::new(())));
        let mut service = layer(&metrics).layer(inner);
        drop(service.call(Request::new(())));
        let page = metrics.page();
        assert!(page.contains(r#"requests_total{route="-",status="499"} 1"#), "{page}");
    }
}
