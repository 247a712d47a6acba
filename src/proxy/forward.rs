//! The end of the stack: the upstream's client.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::Service;

use super::{ProxyError, authorize::REPLAYED_HEADER, error::ERROR_HEADER, route::Target};
use crate::upstream::{Body, UpstreamError};

/// Sends each request to the [`Target`] that it carries.
#[derive(Debug, Clone, Copy)]
pub struct Forward;

impl Service<Request<Body>> for Forward {
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, ProxyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let target = request.extensions_mut().remove::<Arc<Target>>();
        Box::pin(async move {
            // Every layer above that lets a request through has given it one.
            let target = target.ok_or(ProxyError::Internal)?;
            let mut response = target.client.send(request).await?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Err(ProxyError::Upstream(UpstreamError::Protocol {
                    host: target.base.authority.to_string(),
                    reason: "it switched protocols, which nobody had asked for".into(),
                }));
            }
            // These say whose fault an answer is, so nobody else gets to write them.
            response.headers_mut().remove(ERROR_HEADER);
            response.headers_mut().remove(REPLAYED_HEADER);
            Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    }
}
