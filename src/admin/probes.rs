//! The probes listener: `/livez`, `/readyz`, `/metrics`, and nothing else.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use http::{Method, Request, Response, StatusCode};
use tower::Service;

use super::{
    answer::{self, Body, Problem},
    exposition,
    watched::Watched,
};

/// The probes as a service. It needs no guard: it tells nothing that is secret and does nothing.
#[derive(Debug)]
pub struct Probes<W>(Arc<W>);

impl<W> Probes<W> {
    /// The probes of a program.
    pub fn new(watched: Arc<W>) -> Self {
        Self(watched)
    }
}

impl<W> Clone for Probes<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W: Watched, B> Service<Request<B>> for Probes<W> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        ready(Ok(match request.uri().path() {
            "/livez" if reads => answer::text("ok\n"),
            "/readyz" if reads => {
                let readiness = self.0.readiness();
                let status = match readiness.status.serves() {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                answer::json(status, &readiness)
            }
            "/metrics" if reads => match exposition::reads_openmetrics(request.headers()) {
                true => answer::openmetrics(self.0.metrics_page()),
                false => answer::prometheus_text(exposition::prometheus_text(&self.0.metrics_page())),
            },
            _ => Problem::no_route("this listener answers GET /livez, /readyz and /metrics only").answer(),
        }))
    }
}
