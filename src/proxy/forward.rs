//! The end of the stack: the upstream's client.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::Service;

use super::{Fields, ProxyError, authorize::REPLAYED_HEADER, error::ERROR_HEADER, route::Target};
use crate::upstream::Body;

/// A request that is ready to leave.
pub struct Outbound {
    /// Where it goes.
    pub target: Arc<Target>,
    /// In the target's terms, with its credential.
    pub request: Request<Body>,
    /// Whether it goes over a new connection, for the one that it was sent over broke.
    pub anew: bool,
}

impl fmt::Debug for Outbound {
    /// Its target may hold the credential, and its headers do (law 9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbound({} to {:?})", self.request.method(), self.target)
    }
}

/// An answer to come.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, ProxyError>> + Send>>;

/// Sends each request to its target.
#[derive(Debug, Clone, Copy)]
pub struct Forward;

impl Service<Outbound> for Forward {
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Answer {
        let Outbound { target, request, anew } = outbound;
        if anew {
            return Box::pin(async move { Ok(cleaned(target.client.send_anew(request).await?)) });
        }
        let answer = target.client.send(request);
        Box::pin(async move { Ok(cleaned(answer.await?)) })
    }
}

/// What says whose fault an answer is, nobody else gets to write.
fn cleaned(mut response: Response<Body>) -> Response<Body> {
    if Fields::of(response.headers()).has(Fields::OURS) {
        response.headers_mut().remove(ERROR_HEADER);
        response.headers_mut().remove(REPLAYED_HEADER);
    }
    response
}
