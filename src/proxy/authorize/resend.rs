//! A request whose connection broke before an answer began, sent once more where that can do no harm.
//!
//! A server may close a connection at the moment at which a request is put on it. The request was not read then, but
//! nobody can know: only what may be done twice (RFC 9110 §9.2.2) is sent again.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use tower::{Service, ServiceExt};

use super::{again::Again, meter::Meter};
use crate::{
    credential::placement::Injection,
    proxy::{
        ProxyError,
        forward::{Answer, Outbound},
        limits::retries::Tries,
        route::Target,
    },
    upstream::{Body, UpstreamError},
};

/// Sends a request, and again after a failure that allows it.
pub(super) struct Sending<'a> {
    /// Where it goes.
    pub target: &'a Arc<Target>,
    /// How long to wait for the rest of a body that is to be sent again.
    pub patience: Duration,
    /// What measures how long its answers take.
    pub meter: Meter<'a>,
}

impl Sending<'_> {
    /// The first attempt, without waiting for its [`answer`](Self::answer); `inner` is ready for it.
    pub(super) fn begin<S>(&self, inner: &mut S, request: Request<Body>) -> Answer
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
    {
        self.target.limits.retries.note_request();
        inner.call(self.outbound(request, false))
    }

    /// What comes of it, and of more attempts after a failure that allows them.
    pub(super) async fn answer<S>(
        &self,
        answer: Answer,
        inner: &mut S,
        again: &Again,
        injection: Option<&Injection>,
    ) -> Result<Response<Body>, ProxyError>
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
    {
        match self.meter.upstream(answer).await {
            // In a box: few requests come to this.
            Err(ProxyError::Upstream(error)) => Box::pin(self.send_on(inner, again, injection, error)).await,
            answered => answered,
        }
    }

    async fn send_on<S>(
        &self,
        inner: &mut S,
        again: &Again,
        injection: Option<&Injection>,
        mut error: UpstreamError,
    ) -> Result<Response<Body>, ProxyError>
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
    {
        let mut tries = Tries::new(&self.target.limits.retries, again.method().is_idempotent());
        loop {
            let Some(pause) = tries.next(&error) else {
                return Err(error.into());
            };
            let Some(body) = tokio::time::timeout(self.patience, again.body()).await.ok().flatten() else {
                return Err(error.into());
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            tracing::debug!(upstream = self.target.name.as_str(), %error, "a request is sent once more");
            let request = again.request(body, injection)?;
            let answer = inner.ready().await?.call(self.outbound(request, true));
            match self.meter.upstream(answer).await {
                Err(ProxyError::Upstream(next)) => error = next,
                answered => return answered,
            }
        }
    }

    fn outbound(&self, request: Request<Body>, anew: bool) -> Outbound {
        Outbound {
            target: self.target.clone(),
            request,
            anew,
        }
    }
}
