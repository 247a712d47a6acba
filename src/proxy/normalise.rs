//! One reading of each request: its path in normal form, and nothing that speaks of this connection only.
//!
//! Hop-by-hop fields go here, before a credential is put in, so that a caller's `Connection: authorization` can't
//! take the credential out again; and from answers on their way back.

pub mod hop_by_hop;
pub mod path;

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    Response, Uri, Version,
    header::{CONTENT_LENGTH, EXPECT},
    uri::{Parts, PathAndQuery},
};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Fields, Inbound, ProxyError, decided::Decided};

/// Makes [`Normalise`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NormaliseLayer;

impl<S> Layer<S> for NormaliseLayer {
    type Service = Normalise<S>;

    fn layer(&self, inner: S) -> Normalise<S> {
        Normalise { inner }
    }
}

/// Gives the inner service requests with one reading, and callers answers without hop-by-hop fields.
#[derive(Debug, Clone)]
pub struct Normalise<S> {
    inner: S,
}

impl<S, B, R> Service<Inbound<B>> for Normalise<S>
where
    S: Service<Inbound<B>, Response = Response<R>, Error = ProxyError>,
{
    type Response = Response<R>;
    type Error = ProxyError;
    type Future = Normalised<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let Inbound { head, exchange, .. } = &mut inbound;
        let is_old = head.version < Version::HTTP_11;
        let answer = match normal_target(&head.uri) {
            Ok(normal) => {
                if let Some(uri) = normal {
                    head.uri = uri;
                }
                if let Err(error) = hop_by_hop::strip_request(head, exchange) {
                    return Normalised {
                        answer: Decided::refused(error),
                        is_old,
                    };
                }
                // The server on this side has answered it (RFC 9110 §10.1.1), so the upstream need not.
                if exchange.fields.has(Fields::EXPECT) {
                    head.headers.remove(EXPECT);
                }
                Decided::passed(self.inner.call(inbound))
            }
            Err(error) => Decided::refused(error),
        };
        Normalised { answer, is_old }
    }
}

/// The target in origin form, its path normal, its query untouched; `None` where it is so already.
fn normal_target(uri: &Uri) -> Result<Option<Uri>, ProxyError> {
    if uri.authority().is_none() && path::is_plain(uri.path()) {
        return Ok(None);
    }
    let path = path::normalise(uri.path()).map_err(|error| ProxyError::bad_request(error.to_string()))?;
    if path == uri.path() && uri.authority().is_none() {
        return Ok(None);
    }
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = Parts::default();
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| unreadable())?);
    Uri::from_parts(parts).map(Some).map_err(|_| unreadable())
}

fn unreadable() -> ProxyError {
    ProxyError::bad_request("the request's target can't be read; send a path and, after '?', a query")
}

pin_project! {
    /// The future of [`Normalise`].
    pub struct Normalised<F> {
        #[pin]
        answer: Decided<F>,
        // Whether the caller speaks HTTP/1.0.
        is_old: bool,
    }
}

impl<F, R> Future for Normalised<F>
where
    F: Future<Output = Result<Response<R>, ProxyError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let Ok(response) = &mut answer {
            hop_by_hop::strip_response(response);
            if *this.is_old {
                // HTTP/1.0 knows no chunks, so only the connection's end can end a body of unknown length: nobody may be
                // told to keep it. hyper goes by the version of the answer, and knows nothing of HTTP/2's.
                let is_framed = response.headers().contains_key(CONTENT_LENGTH);
                *response.version_mut() = if is_framed { Version::HTTP_11 } else { Version::HTTP_10 };
            }
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use tower::{ServiceExt, service_fn};

    async fn seen(uri: &str) -> Result<String, ProxyError> {
        let echo = service_fn(|inbound: Inbound<()>| async move {
            let response = Response::builder()
                .header("connection", "x-secret")
                .header("x-secret", "1")
                .body(inbound.head.uri.to_string());
            Ok(response.unwrap())
        });
        let request = Request::get(uri).body(()).unwrap();
        let response = NormaliseLayer.layer(echo).oneshot(Inbound::new(request, None)).await?;
        assert!(response.headers().is_empty(), "hop-by-hop fields of answers go too");
        Ok(response.into_body())
    }

    #[tokio::test]
    async fn the_inner_service_sees_origin_form_with_its_query_as_it_was() {
        assert_eq!(
            seen("http://localhost//a/%2e/b?x=%2e%2e&y=//").await.unwrap(),
            "/a/b?x=%2e%2e&y=//"
        );
        assert_eq!(seen("/a?").await.unwrap(), "/a?");
    }

    #[tokio::test]
    async fn a_target_with_two_readings_goes_no_further() {
        assert!(matches!(seen("/a/..%2fb").await, Err(ProxyError::BadRequest(_))));
    }
}
