//! What one upstream is spared, and how long it may take: its rate, the size of requests, the time of an exchange.
//!
//! All of it is the upstream's own, so one that is in trouble takes nothing from the others. How many requests are
//! under way at once is bounded by the upstream's [`Client`](crate::upstream::Client), for a request that still waits
//! for its token must not take a place from those that have theirs.

mod bounded;
mod rate;
pub mod retries;
mod timed;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

pub use rate::Rate;
pub use retries::Retries;

use super::{Inbound, ProxyError, decided::Decided, route::Target};
use crate::{
    clock::Clock,
    config::checked,
    upstream::{Body, UpstreamError},
};
use bounded::{Bounded, Oversize};
use timed::Timed;

/// The limits of one upstream, and how far they are used up.
#[derive(Debug, Default)]
pub struct Limits {
    /// What is sent again.
    pub retries: Retries,
    rate: Option<Rate>,
    request_body: Option<u64>,
    deadline: Option<Duration>,
    idle: Option<Duration>,
    /// Whether this layer has anything to do.
    is_any: bool,
}

impl Limits {
    /// The limits of an upstream in the config, by this clock.
    pub fn new(limits: &checked::Limits, retries: checked::Retries, clock: &Clock) -> Self {
        let paces = limits.rate.is_some() || limits.obey_retry_after;
        Self {
            retries: Retries::new(retries.attempts, retries.budget),
            rate: paces.then(|| Rate::new(limits.rate, limits.obey_retry_after, clock.clone())),
            request_body: limits.request_body,
            deadline: limits.deadline,
            idle: limits.idle,
            is_any: paces || limits.request_body.is_some() || limits.deadline.is_some() || limits.idle.is_some(),
        }
    }
}

/// Makes [`Limit`].
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitLayer;

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner }
    }
}

/// Keeps requests and answers within the limits of their route's upstream.
#[derive(Debug, Clone)]
pub struct Limit<S> {
    inner: S,
}

impl<S> Service<Inbound<Body>> for Limit<S>
where
    S: Service<Inbound<Body>, Response = Response<Body>, Error = ProxyError>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Limited<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<Body>) -> Self::Future {
        let target = match inbound.exchange.matched() {
            Some(matched) if matched.entry.target.limits.is_any => matched.entry.target.clone(),
            _ => {
                return Limited {
                    answer: Decided::passed(self.inner.call(inbound)),
                    watched: None,
                };
            }
        };
        match admitted(&target, std::mem::take(&mut inbound.body)) {
            Ok((body, oversize)) => {
                inbound.body = body;
                let answer = self.inner.call(inbound);
                Limited {
                    answer: Decided::nothing(),
                    watched: Some(Box::pin(watched(target, answer, oversize))),
                }
            }
            Err(error) => Limited {
                answer: Decided::refused(error),
                watched: None,
            },
        }
    }
}

/// The body of a request that may go on, and what tells that it was too large after all.
fn admitted(target: &Target, body: Body) -> Result<(Body, Option<Oversize>), ProxyError> {
    let limits = &target.limits;
    let too_large = |limit: &u64| body.size_hint().lower() > *limit;
    // The size first: a request that can't be sent uses up no rate.
    if let Some(limit) = limits.request_body.filter(too_large) {
        return Err(request_too_large(target, limit));
    }
    if let Some(rate) = &limits.rate {
        rate.take().map_err(|retry_after| ProxyError::RateLimited {
            upstream: target.name.clone(),
            retry_after,
        })?;
    }
    let is_known = body.size_hint().exact().is_some();
    Ok(match limits.request_body.filter(|_| !is_known) {
        Some(limit) => {
            let oversize = Oversize::default();
            let bounded = Bounded::new(body, limit, oversize.clone());
            (bounded.boxed_unsync(), Some(oversize))
        }
        None => (body, None),
    })
}

fn request_too_large(target: &Target, limit: u64) -> ProxyError {
    ProxyError::RequestTooLarge {
        upstream: target.name.clone(),
        limit,
    }
}

async fn watched<F>(target: Arc<Target>, answer: F, oversize: Option<Oversize>) -> Result<Response<Body>, ProxyError>
where
    F: Future<Output = Result<Response<Body>, ProxyError>>,
{
    let limits = &target.limits;
    let mut deadline = limits.deadline.map(|deadline| Box::pin(tokio::time::sleep(deadline)));
    let answered = tokio::select! {
        biased;
        answered = answer => answered,
        () = timed::passed(&mut deadline) => Err(late(&target)),
    };
    let response = match (answered, oversize, limits.request_body) {
        (Ok(response), ..) => response,
        // Whatever the failure was taken for within: it is the body that was cut off here.
        (Err(_), Some(oversize), Some(limit)) if oversize.is_met() => return Err(request_too_large(&target, limit)),
        (Err(error), ..) => return Err(error),
    };
    if let Some(rate) = &limits.rate
        && response.status() == StatusCode::TOO_MANY_REQUESTS
    {
        rate.obey(response.headers());
    }
    if (deadline.is_none() && limits.idle.is_none()) || response.body().is_end_stream() {
        return Ok(response);
    }
    let idle = limits.idle;
    Ok(response.map(|body| Timed::new(body, deadline, idle, target).boxed_unsync()))
}

fn late(target: &Target) -> ProxyError {
    let limit = target.limits.deadline.unwrap_or_default();
    ProxyError::Upstream(UpstreamError::Timeout {
        host: target.base.authority.to_string(),
        reason: format!("none came within {} ms (limits.deadline)", limit.as_millis()),
    })
}

pin_project! {
    /// The future of [`Limit`].
    pub struct Limited<F> {
        #[pin]
        answer: Decided<F>,
        // In a box, which only those that have limits need.
        watched: Option<Watched>,
    }
}

type Watched = Pin<Box<dyn Future<Output = Result<Response<Body>, ProxyError>> + Send>>;

impl<F> Future for Limited<F>
where
    F: Future<Output = Result<Response<Body>, ProxyError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.watched {
            Some(watched) => watched.as_mut().poll(cx),
            None => this.answer.poll(cx),
        }
    }
}
