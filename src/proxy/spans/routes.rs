//! Tells a request's span which route it has.

use std::task::{Context as Task, Poll};

use opentelemetry::{Context, KeyValue, trace::TraceContextExt};
use tower::{Layer, Service};

use super::seen::Seen;

/// A layer within the one that finds routes.
pub const fn of_routes() -> RoutesLayer {
    RoutesLayer
}

/// Makes [`Routes`].
#[derive(Debug, Clone, Copy)]
pub struct RoutesLayer;

impl<S> Layer<S> for RoutesLayer {
    type Service = Routes<S>;

    fn layer(&self, inner: S) -> Routes<S> {
        Routes(inner)
    }
}

/// Names the current span after its request's route.
#[derive(Debug, Clone)]
pub struct Routes<S>(S);

impl<S, R: Seen> Service<R> for Routes<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Task<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        Context::map_current(|current| {
            let span = current.span();
            if let Some(entry) = request.route().filter(|_| span.is_recording()) {
                span.update_name(format!("{} {}", request.method(), entry.name));
                span.set_attribute(KeyValue::new("bearerd.route", entry.name.to_string()));
                span.set_attribute(KeyValue::new("bearerd.upstream", entry.target.name.to_string()));
            }
        });
        self.0.call(request)
    }
}
