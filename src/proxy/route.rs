//! Which upstream a request goes to, and whether callers may ask that of it.

mod allow;
mod closed;
mod entry;
mod paths;
mod router;

use std::task::{Context, Poll};

use http::Method;
use tower::{Layer, Service};

pub use entry::{Entry, Matched, Target};
pub use router::{Router, RouterError};

use super::{Inbound, ProxyError, decided::Decided};

/// Makes [`Route`].
#[derive(Debug, Clone)]
pub struct RouteLayer;

impl<S> Layer<S> for RouteLayer {
    type Service = Route<S>;

    fn layer(&self, inner: S) -> Route<S> {
        Route { inner }
    }
}

/// Gives the inner service requests that have a route that may be called, by the router that they were let in by.
#[derive(Debug, Clone)]
pub struct Route<S> {
    inner: S,
}

impl<S, B> Service<Inbound<B>> for Route<S>
where
    S: Service<Inbound<B>, Error = ProxyError>,
{
    type Response = S::Response;
    type Error = ProxyError;
    type Future = Decided<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let Some(router) = inbound.router.take() else {
            return Decided::refused(ProxyError::Internal);
        };
        match decide(&inbound, &router) {
            Ok(()) => Decided::passed(self.inner.call(inbound)),
            Err(error) => Decided::refused(error),
        }
    }
}

fn decide<B>(Inbound { head, exchange, .. }: &Inbound<B>, router: &Router) -> Result<(), ProxyError> {
    let caller = exchange.caller();
    let host = caller.and_then(|caller| caller.host.as_deref());
    let (method, path) = (&head.method, head.uri.path());
    // Found before the checks, so that a refusal's line in the log has its route.
    let mut matched = router.find(host, method, path)?;
    matched.masked = matched.entry.masked(matched.rest(path));
    let matched = exchange.found_route(matched);
    matched.entry.is_for(caller.and_then(|caller| caller.name.as_ref()))?;
    matched.entry.may_be_called(method, matched.rest(path))
}

/// HEAD asks what GET asks (RFC 9110 §9.3.2).
fn as_asked(method: &Method) -> &Method {
    match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    }
}
