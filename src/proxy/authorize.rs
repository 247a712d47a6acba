//! Puts the credential in, last of all: strip what the caller sent in its place, get a token, inject, send; and once
//! more with a renewed token if the upstream rejects it.

mod again;
mod attempts;
mod form;
mod inject;
mod kept;
mod meter;
mod pieces;
mod rejection;
mod resend;
mod spare;
mod trailers;

use std::{
    sync::Arc,
    task::{self, Poll},
};

use http::{HeaderName, Request, Response};
use tower::{Layer, Service};

use super::{
    Exchange, Inbound, ProxyError,
    forward::{Answer, Outbound},
    route::Entry,
};
use crate::{
    clock::Clock,
    credential::placement::{Placement, strip_headers},
    manager::Manager,
    metrics::Metrics,
    upstream::Body,
};
use again::{Again, Kept};
use attempts::{Attempts, Tokens};
use meter::Meter;
use resend::Sending;

/// Says whether a rejected request was sent again: `1`, or `no`.
pub const REPLAYED_HEADER: HeaderName = HeaderName::from_static("x-bearerd-replayed");

/// Makes [`Authorize`].
#[derive(Debug, Clone)]
pub struct AuthorizeLayer(Arc<Context>);

/// What each request needs.
#[derive(Debug)]
struct Context {
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl AuthorizeLayer {
    /// A layer that counts its replays there, and measures by this clock.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self(Arc::new(Context { metrics, clock }))
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            inner,
            context: self.0.clone(),
        }
    }
}

/// Gives the inner service requests that carry their route's credential, and nothing else of the kind.
#[derive(Debug, Clone)]
pub struct Authorize<S> {
    inner: S,
    context: Arc<Context>,
}

impl<S> Service<Inbound<Body>> for Authorize<S>
where
    S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, inbound: Inbound<Body>) -> Self::Future {
        // The clone is for later; the service that was polled ready is the one to call.
        let later = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, later);
        match authorize(inner, inbound, self.context.clone()) {
            Ok(answer) => answer,
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// What happens at once is done here, so that what a request holds while it waits is small.
fn authorize<S>(mut inner: S, inbound: Inbound<Body>, context: Arc<Context>) -> Result<Answer, ProxyError>
where
    S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send + 'static,
{
    let Inbound {
        mut head,
        body,
        exchange,
        ..
    } = inbound;
    // What hyper tells of the caller's connection is of no use on the upstream's.
    head.extensions = http::Extensions::new();
    let entry = route_of(&exchange)?;
    // Whatever the credential is, and where there is none: the caller's own never goes upstream.
    strip_headers(&mut head.headers, None);
    let body = trailers::cleaned(body, entry);

    let Some(manager) = &entry.manager else {
        let (target, patience) = (entry.target.clone(), entry.token_timeout);
        if !target.limits.retries.covers(&head.method) {
            let request = Request::from_parts(*head, body);
            let anew = false;
            let answer = inner.call(Outbound { target, request, anew });
            return Ok(Box::pin(async move { context.meter(&exchange).upstream(answer).await }));
        }
        return Ok(Box::pin(async move {
            let (target, meter) = (&target, context.meter(&exchange));
            let (kept, first) = Kept::streaming(body);
            let (again, request) = Again::first(*head, kept, first, None)?;
            let sending = Sending {
                target,
                patience,
                meter,
            };
            let answer = sending.begin(&mut inner, request);
            sending.answer(answer, &mut inner, &again, None).await
        }));
    };
    // Nearly always everything is there: the request is on its way before anybody waits.
    let handle = manager.one_handle();
    let ready = handle.filter(|_| !rewrites_forms(manager)).and_then(Tokens::at_once);
    if let Some(ready) = ready {
        let (kept, first) = Kept::streaming(body);
        let (again, request) = Again::first(*head, kept, first, Some(&ready.injection))?;
        let answer = attempts(entry, manager, &context, &exchange)
            .sending()
            .begin(&mut inner, request);
        return Ok(Box::pin(async move {
            let entry = route_of(&exchange)?;
            let manager = entry.manager.as_ref().ok_or(ProxyError::Internal)?;
            let handle = manager.one_handle().ok_or(ProxyError::Internal)?;
            attempts(entry, manager, &context, &exchange)
                .finish(answer, &mut inner, &again, handle, &ready)
                .await
        }));
    }
    Ok(Box::pin(async move {
        let entry = route_of(&exchange)?;
        let manager = entry.manager.as_ref().ok_or(ProxyError::Internal)?;
        // In a box: a request that waits for a token, as thousands may at once, holds no more than it needs for that.
        let handle = Box::pin(manager.handle(exchange.subject().parts(), entry.token_timeout));
        let handle = context.meter(&exchange).token(handle).await?;
        attempts(entry, manager, &context, &exchange)
            .run(&mut inner, head, body, &handle)
            .await
    }))
}

/// Its route, which a layer above has found.
fn route_of(exchange: &Exchange) -> Result<&Arc<Entry>, ProxyError> {
    Ok(&exchange.matched().ok_or(ProxyError::Internal)?.entry)
}

impl Context {
    fn meter<'a>(&'a self, exchange: &'a Exchange) -> Meter<'a> {
        let clock = &self.clock;
        Meter { clock, exchange }
    }
}

fn rewrites_forms(manager: &Manager) -> bool {
    matches!(manager.spec().placement, Placement::Form(_))
}

fn attempts<'a>(
    entry: &'a Entry,
    manager: &'a Manager,
    context: &'a Context,
    exchange: &'a Exchange,
) -> Attempts<'a, impl Fn() + Send + Sync + 'a> {
    Attempts {
        target: &entry.target,
        patience: entry.token_timeout,
        signs: &manager.spec().rejected,
        rewrites_forms: rewrites_forms(manager),
        meter: context.meter(exchange),
        on_replay: || {
            context.metrics.replay(&entry.name);
            exchange.set_replayed();
        },
    }
}
