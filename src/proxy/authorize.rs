//! Puts the credential in, last of all: strip what the caller sent in its place, get a token, inject, send; and once
//! more with a renewed token if the upstream rejects it.

mod again;
mod attempts;
mod form;
mod inject;
mod kept;
mod pieces;
mod rejection;
mod resend;
mod trailers;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderName, Request, Response};
use tower::{Layer, Service};

use super::{
    Inbound, ProxyError,
    forward::{Answer, Outbound},
};
use crate::{
    credential::placement::{Placement, strip_headers},
    metrics::Metrics,
    upstream::Body,
};
use again::Again;
use attempts::Attempts;
use resend::Sending;

/// Says whether a rejected request was sent again: `1`, or `no`.
pub const REPLAYED_HEADER: HeaderName = HeaderName::from_static("x-bearerd-replayed");

/// Makes [`Authorize`].
#[derive(Debug, Clone)]
pub struct AuthorizeLayer {
    metrics: Arc<Metrics>,
}

impl AuthorizeLayer {
    /// A layer that counts its replays there.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics }
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize {
            inner,
            metrics: self.metrics.clone(),
        }
    }
}

/// Gives the inner service requests that carry their route's credential, and nothing else of the kind.
#[derive(Debug, Clone)]
pub struct Authorize<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Service<Inbound<Body>> for Authorize<S>
where
    S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, inbound: Inbound<Body>) -> Self::Future {
        // The clone is for later; the service that was polled ready is the one to call.
        let later = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, later);
        match authorize(inner, inbound, self.metrics.clone()) {
            Ok(answer) => answer,
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}

/// What happens at once is done here, so that what a request holds while it waits is small.
fn authorize<S>(mut inner: S, inbound: Inbound<Body>, metrics: Arc<Metrics>) -> Result<Answer, ProxyError>
where
    S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send + 'static,
{
    let Inbound { request, exchange } = inbound;
    let (mut parts, body) = request.into_parts();
    // What hyper tells of the caller's connection is of no use on the upstream's.
    parts.extensions = http::Extensions::new();
    // A layer above has found it.
    let entry = exchange.matched().ok_or(ProxyError::Internal)?.entry.clone();
    // Whatever the credential is, and where there is none: the caller's own never goes upstream.
    strip_headers(&mut parts.headers, None);
    let body = trailers::cleaned(body, &entry);

    let Some(manager) = &entry.manager else {
        let (target, patience) = (entry.target.clone(), entry.token_timeout);
        if !target.limits.retries.covers(&parts.method) {
            let request = Request::from_parts(parts, body);
            let anew = false;
            return Ok(inner.call(Outbound { target, request, anew }));
        }
        return Ok(Box::pin(async move {
            let target = &target;
            let (again, first) = Again::new(&parts, body, false).await?;
            Sending { target, patience }
                .send(&mut inner, &mut parts, &again, first, None)
                .await
        }));
    };
    let handle = manager.handle_at_once();
    Ok(Box::pin(async move {
        let manager = entry.manager.as_ref().ok_or(ProxyError::Internal)?;
        let handle = match handle {
            Some(handle) => handle,
            // In a box, as is everything that few requests come to: what each holds while it waits stays small.
            None => Box::pin(manager.handle(exchange.subject().parts(), entry.token_timeout)).await?,
        };
        let attempts = Attempts {
            target: &entry.target,
            patience: entry.token_timeout,
            signs: &manager.spec().rejected,
            rewrites_forms: matches!(manager.spec().placement, Placement::Form(_)),
            on_replay: || {
                metrics.replay(&entry.name);
                exchange.set_replayed();
            },
        };
        attempts.run(&mut inner, parts, body, &handle).await
    }))
}
