//! Which upstream a request goes to, and whether callers may ask that of it.

mod allow;
mod closed;
mod entry;
mod paths;
mod router;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::Request;
use tower::{Layer, Service};

pub use entry::{Entry, Matched, Target};
pub use router::{Router, RouterError};

use super::{ProxyError, decided::Decided, guard::Caller, trace::Facts};

/// Makes [`Route`].
#[derive(Debug, Clone)]
pub struct RouteLayer {
    router: Arc<ArcSwap<Router>>,
}

impl RouteLayer {
    /// A layer that asks this router, or the one that a reload puts in its place.
    pub fn new(router: Arc<ArcSwap<Router>>) -> Self {
        Self { router }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = Route<S>;

    fn layer(&self, inner: S) -> Route<S> {
        Route {
            inner,
            router: self.router.clone(),
        }
    }
}

/// Gives the inner service requests that have a route, with what [`Matched`].
#[derive(Debug, Clone)]
pub struct Route<S> {
    inner: S,
    router: Arc<ArcSwap<Router>>,
}

impl<S, B> Service<Request<B>> for Route<S>
where
    S: Service<Request<B>, Error = ProxyError>,
{
    type Response = S::Response;
    type Error = ProxyError;
    type Future = Decided<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match decide(&request, &self.router.load()) {
            Ok(matched) => {
                request.extensions_mut().insert(matched);
                Decided::passed(self.inner.call(request))
            }
            Err(error) => Decided::refused(error),
        }
    }
}

fn decide<B>(request: &Request<B>, router: &Router) -> Result<Matched, ProxyError> {
    let host = request
        .extensions()
        .get::<Caller>()
        .and_then(|caller| caller.host.clone());
    let (method, path) = (request.method(), request.uri().path());
    let matched = router.find(host.as_deref(), method, path)?;
    // Before the checks, so that a refusal's line in the log has its route.
    if let Some(facts) = request.extensions().get::<Arc<Facts>>() {
        facts.set_route(matched.entry.clone(), matched.entry.masked(matched.rest(path)));
    }
    matched.entry.may_be_called(method, matched.rest(path))?;
    Ok(matched)
}
