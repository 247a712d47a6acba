//! Puts the credential in, last of all: strip what the caller sent in its place, get a token, inject, send; and once
//! more with a renewed token if the upstream rejects it.

mod form;
mod inject;
mod kept;
mod pieces;
mod rejection;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use tower::{Layer, Service, ServiceExt};

use super::{ProxyError, rewrite::Subject, route::Entry, trace::Facts};
use crate::{
    credential::placement::{Injection, strip_headers},
    manager::{Ready, TokenHandle},
    metrics::Metrics,
    upstream::Body,
};
use kept::Keeper;
use rejection::Verdict;

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

impl<S> Service<Request<Body>> for Authorize<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = ProxyError> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone is for later; the service that was polled ready is the one to call.
        let later = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, later);
        Box::pin(authorize(inner, request, self.metrics.clone()))
    }
}

/// An answer to come.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, ProxyError>> + Send>>;

/// Boxed, because the compiler can't see that a generic service's future is `Send` inside another one.
fn send<S>(inner: &mut S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = ProxyError>,
    S::Future: Send + 'static,
{
    Box::pin(inner.call(request))
}

async fn authorize<S>(mut inner: S, request: Request<Body>, metrics: Arc<Metrics>) -> Result<Response<Body>, ProxyError>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = ProxyError>,
    S::Future: Send + 'static,
{
    let (mut parts, body) = request.into_parts();
    // The upstream's client gets its target, and nothing else that layers told one another.
    let mut known = std::mem::take(&mut parts.extensions);
    // The layers above have put it there.
    let entry = known.remove::<Arc<Entry>>().ok_or(ProxyError::Internal)?;
    parts.extensions.insert(entry.target.clone());
    // Whatever the credential is, and where there is none: the caller's own never goes upstream.
    strip_headers(&mut parts.headers, None);

    let Some(manager) = &entry.manager else {
        return send(&mut inner, Request::from_parts(parts, body)).await;
    };
    let subject = known.remove::<Subject>().unwrap_or_default();
    let handle = manager.handle(subject.parts()).await?;
    let ready = handle.token(entry.token_timeout).await?;

    let (again, first) = Again::new(&parts, body, &ready.injection).await?;
    let request = again.request(parts.clone(), first, &ready.injection)?;
    let response = send(&mut inner, request).await?;
    let signs = &manager.spec().rejected;
    let (response, verdict) = rejection::judge(response, signs, entry.token_timeout).await;
    let may_replay = match verdict {
        Verdict::Silent => return Ok(response),
        Verdict::Unauthorized => true,
        Verdict::Rejected => parts.method.is_idempotent(),
    };

    let renewal = Renewal {
        handle: &handle,
        entry: &entry,
        may_replay,
    };
    let Some((later, body)) = renewal.run(&ready, &again).await? else {
        return Ok(marked(response, "no"));
    };
    // Its connection can serve others while the request is sent again.
    drop(response);
    metrics.replay(&entry.name);
    if let Some(facts) = known.get::<Arc<Facts>>() {
        facts.set_replayed();
    }
    let request = again.request(parts, body, &later.injection)?;
    let response = send(inner.ready().await?, request).await?;
    let (response, verdict) = rejection::judge(response, signs, entry.token_timeout).await;
    if verdict != Verdict::Silent {
        // So that the manager knows that renewing is of no use just now (law 6); the answer passes through.
        let _ = handle.renewed(&later, entry.token_timeout).await;
    }
    Ok(marked(response, "1"))
}

/// What is done between a rejection and a second attempt.
struct Renewal<'r> {
    handle: &'r TokenHandle,
    entry: &'r Entry,
    may_replay: bool,
}

impl Renewal<'_> {
    /// A later token and the body again; `None` where the rejection is to pass through. The token is renewed even
    /// if this request can't be sent again: the next one is better off.
    async fn run(&self, rejected: &Ready, again: &Again) -> Result<Option<(Arc<Ready>, Body)>, ProxyError> {
        let patience = self.entry.token_timeout;
        let body = async {
            if self.may_replay {
                tokio::time::timeout(patience, again.body()).await.ok().flatten()
            } else {
                None
            }
        };
        let (later, body) = tokio::join!(self.handle.renewed(rejected, patience), body);
        let Some(body) = body else {
            return Ok(None);
        };
        // The caller's request could have gone through: what keeps it from that says more than the rejection.
        Ok(later?.map(|later| (later, body)))
    }
}

fn marked(mut response: Response<Body>, replayed: &'static str) -> Response<Body> {
    response
        .headers_mut()
        .insert(REPLAYED_HEADER, HeaderValue::from_static(replayed));
    response
}

/// How a request can be sent a second time.
enum Again {
    /// Its body streams, and its beginning is kept.
    Kept(Keeper),
    /// It is a form that is held, and the credential is a field of it.
    Form(Bytes),
}

impl Again {
    /// What is kept of the body, and the body for the first attempt.
    async fn new(parts: &Parts, body: Body, injection: &Injection) -> Result<(Self, Body), ProxyError> {
        if matches!(injection, Injection::Form { .. }) && form::takes(&parts.method, &parts.headers) {
            let form = form::hold(&parts.headers, body).await?;
            return Ok((Self::Form(form), Body::default()));
        }
        let (first, keeper) = kept::keep(body);
        Ok((Self::Kept(keeper), first))
    }

    async fn body(&self) -> Option<Body> {
        match self {
            Self::Kept(keeper) => keeper.whole().await,
            Self::Form(_) => Some(Body::default()),
        }
    }

    /// One attempt, with this token in it.
    fn request(&self, mut parts: Parts, body: Body, injection: &Injection) -> Result<Request<Body>, ProxyError> {
        match (self, injection) {
            (Self::Form(form), Injection::Form { name, pair }) => {
                let body = inject::into_form(&mut parts, form, name, pair)?;
                Ok(Request::from_parts(parts, body))
            }
            _ => {
                inject::into_head(&mut parts, injection)?;
                Ok(Request::from_parts(parts, body))
            }
        }
    }
}

#[cfg(test)]
mod tests;
