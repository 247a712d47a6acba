//! A request with a token in it, and a second attempt with a renewed one if the first token is rejected.

use std::{future::Future, sync::Arc, time::Duration};

use http::{HeaderValue, Response, request::Parts};
use tower::{Service, ServiceExt};

use super::{
    REPLAYED_HEADER,
    again::{Again, Kept},
    meter::Meter,
    rejection::{self, Verdict},
    resend::Sending,
};
use crate::{
    credential::reply::Rejection,
    manager::{Ready, TokenError, TokenHandle},
    proxy::{
        ProxyError,
        forward::{Answer, Outbound},
        route::Target,
        spans,
    },
    upstream::Body,
};

/// Where tokens come from: a [`TokenHandle`], or a test's script.
pub(super) trait Tokens: Sync {
    /// A usable token that is there already.
    fn at_once(&self) -> Option<Arc<Ready>>;

    /// A usable token.
    fn token(&self, patience: Duration) -> impl Future<Output = Result<Arc<Ready>, TokenError>> + Send;

    /// A later token than the rejected one; `None` where a renewal is of no use now.
    fn renewed(
        &self,
        rejected: &Ready,
        patience: Duration,
    ) -> impl Future<Output = Result<Option<Arc<Ready>>, TokenError>> + Send;

    /// The API rejected the token that had replaced a rejected one.
    fn rejected_again(&self, ready: &Ready);

    /// The API took this token: whatever it thought of the request, it knew who asked.
    fn accepted(&self, ready: &Ready);
}

impl Tokens for TokenHandle {
    fn at_once(&self) -> Option<Arc<Ready>> {
        self.token_at_once()
    }

    async fn token(&self, patience: Duration) -> Result<Arc<Ready>, TokenError> {
        spans::waiting(TokenHandle::token(self, patience)).await
    }

    async fn renewed(&self, rejected: &Ready, patience: Duration) -> Result<Option<Arc<Ready>>, TokenError> {
        spans::waiting(TokenHandle::renewed(self, rejected, patience)).await
    }

    fn rejected_again(&self, ready: &Ready) {
        TokenHandle::rejected_again(self, ready);
    }

    fn accepted(&self, ready: &Ready) {
        TokenHandle::accepted(self, ready);
    }
}

/// How attempts are made.
pub(super) struct Attempts<'a, R> {
    /// Where they go.
    pub target: &'a Arc<Target>,
    /// How long to wait for a token, and for the rest of a body that may be sent again.
    pub patience: Duration,
    /// How the API says that a token is no longer good.
    pub signs: &'a [Rejection],
    /// Whether the credential goes into a field of urlencoded bodies.
    pub rewrites_forms: bool,
    /// What measures how long things take.
    pub meter: Meter<'a>,
    /// Told when a request is sent a second time.
    pub on_replay: R,
}

impl<R: Fn() + Send + Sync> Attempts<'_, R> {
    /// One attempt, or two. `inner` is ready for the first.
    pub(super) async fn run<S, T>(
        &self,
        inner: &mut S,
        head: Box<Parts>,
        body: Body,
        tokens: &T,
    ) -> Result<Response<Body>, ProxyError>
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
        T: Tokens,
    {
        // The body first: a slow form must not make the token old.
        let (kept, first) = Kept::new(&head, body, self.rewrites_forms).await?;
        let ready = match tokens.at_once() {
            Some(ready) => ready,
            None => self.meter.token(Box::pin(tokens.token(self.patience))).await?,
        };
        let (again, request) = Again::first(*head, kept, first, Some(&ready.injection))?;
        let answer = self.sending().begin(inner, request);
        self.finish(answer, inner, &again, tokens, &ready).await
    }

    /// What comes of a first attempt that was sent with `ready`, and of a second one if that is rejected.
    pub(super) async fn finish<S, T>(
        &self,
        answer: Answer,
        inner: &mut S,
        again: &Again,
        tokens: &T,
        ready: &Ready,
    ) -> Result<Response<Body>, ProxyError>
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
        T: Tokens,
    {
        let sending = self.sending();
        let injection = Some(&ready.injection);
        let response = sending.answer(answer, inner, again, injection).await?;
        if rejection::at_a_glance(&response, self.signs) == Some(Verdict::Silent) {
            note_success(tokens, ready, &response);
            return Ok(response);
        }
        // In a box: few requests come to this.
        Box::pin(self.replay(inner, again, tokens, ready, response)).await
    }

    /// What comes of this answer to the first attempt: if it is a rejection, the second attempt, where there can be one.
    async fn replay<S>(
        &self,
        inner: &mut S,
        again: &Again,
        tokens: &impl Tokens,
        ready: &Ready,
        response: Response<Body>,
    ) -> Result<Response<Body>, ProxyError>
    where
        S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer> + Send,
    {
        let (response, verdict) = rejection::judge(response, self.signs, self.patience).await;
        if verdict == Verdict::Silent {
            note_success(tokens, ready, &response);
            return Ok(response);
        }
        let may_replay = verdict == Verdict::Unauthorized || again.method().is_idempotent();
        // The token is renewed even if this request can't be sent again: the next one is better off.
        let whole = async {
            let body = may_replay.then(|| tokio::time::timeout(self.patience, again.body()));
            match body {
                Some(body) => body.await.ok().flatten(),
                None => None,
            }
        };
        let renewal = self.meter.token(tokens.renewed(ready, self.patience));
        tokio::pin!(renewal, whole);
        let (later, body) = tokio::select! {
            biased;
            body = &mut whole => (renewal.await, body),
            // Without a later token there is no sense in waiting for the rest of the body.
            later = &mut renewal => match later {
                Ok(Some(later)) => (Ok(Some(later)), whole.await),
                Ok(None) => return Ok(marked(response, "no")),
                Err(error) => return Err(error.into()),
            },
        };
        let Some(body) = body else {
            return Ok(marked(response, "no"));
        };
        // What keeps a request from being sent again says more than the rejection does.
        let Some(later) = later? else {
            return Ok(marked(response, "no"));
        };
        // Its connection is of no use while its answer is unread.
        drop(response);

        (self.on_replay)();
        let (sending, injection) = (self.sending(), Some(&later.injection));
        let answer = sending.begin(inner.ready().await?, again.request(body, injection)?);
        let response = sending.answer(answer, inner, again, injection).await?;
        let (response, verdict) = rejection::judge(response, self.signs, self.patience).await;
        if verdict == Verdict::Silent {
            note_success(tokens, &later, &response);
        } else {
            // So that the manager knows that renewing is of no use just now (law 6); the answer passes through.
            tokens.rejected_again(&later);
        }
        Ok(marked(response, "1"))
    }

    /// How each is sent.
    pub(super) fn sending(&self) -> Sending<'_> {
        Sending {
            target: self.target,
            patience: self.patience,
            meter: self.meter,
        }
    }
}

/// A server's own failure says nothing of the token.
fn note_success(tokens: &impl Tokens, ready: &Ready, response: &Response<Body>) {
    if !response.status().is_server_error() {
        tokens.accepted(ready);
    }
}

fn marked(mut response: Response<Body>, replayed: &'static str) -> Response<Body> {
    response
        .headers_mut()
        .insert(REPLAYED_HEADER, HeaderValue::from_static(replayed));
    response
}

#[cfg(test)]
mod tests;
