//! Upgrades of HTTP/1.1 connections (RFC 9110 §7.8), such as WebSocket's (RFC 6455): asked of the upstream in the
//! caller's words, and once it has switched, the two connections become one stream of bytes.
//!
//! Upgrades to HTTP itself or to TLS are not passed on: they speak of this hop, and what came after them would go
//! through unread.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Fields, Inbound, ProxyError, normalise::hop_by_hop};

/// Makes [`Upgrade`].
#[derive(Debug, Clone, Copy, Default)]
pub struct UpgradeLayer;

impl<S> Layer<S> for UpgradeLayer {
    type Service = Upgrade<S>;

    fn layer(&self, inner: S) -> Upgrade<S> {
        Upgrade { inner }
    }
}

/// Joins a caller's connection to the upstream's, once both have switched.
#[derive(Debug, Clone)]
pub struct Upgrade<S> {
    inner: S,
}

impl<S, B, R> Service<Inbound<B>> for Upgrade<S>
where
    S: Service<Inbound<B>, Response = Response<R>, Error = ProxyError>,
    B: http_body::Body,
{
    type Response = Response<R>;
    type Error = ProxyError;
    type Future = Upgraded<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let caller = take_upgrade(&mut inbound);
        Upgraded {
            answer: self.inner.call(inbound),
            caller,
        }
    }
}

/// The caller's connection to come, if it asks for an upgrade that may go on.
fn take_upgrade<B: http_body::Body>(inbound: &mut Inbound<B>) -> Option<OnUpgrade> {
    if !inbound.exchange.fields.has(Fields::UPGRADE) {
        return None;
    }
    let head = &mut inbound.head;
    // A body would stand between the two protocols; its request is answered without an upgrade (RFC 9110 §7.8).
    if head.version != Version::HTTP_11 || !inbound.body.is_end_stream() {
        return None;
    }
    let wanted = wanted(&head.headers)?;
    // There is none on a connection that can't be given away.
    let caller = head.extensions.remove::<OnUpgrade>()?;
    inbound.exchange.wants_upgrade(wanted);
    Some(caller)
}

/// What `Upgrade` asks for, without what ends here.
fn wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_named = headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| hop_by_hop::names(value, "upgrade"));
    if !is_named {
        return None;
    }
    let mut protocols = Vec::new();
    for value in headers.get_all(UPGRADE) {
        // Protocols are tokens and slashes: what else there is has no reading.
        let offered = value.to_str().ok()?.split(',').map(str::trim);
        protocols.extend(offered.filter(|protocol| may_pass(protocol)));
    }
    match protocols.is_empty() {
        true => None,
        false => HeaderValue::try_from(protocols.join(", ")).ok(),
    }
}

fn may_pass(protocol: &str) -> bool {
    let name = protocol.split_once('/').map_or(protocol, |(name, _)| name);
    !name.is_empty()
        && !["http", "h2c", "h2", "tls"]
            .iter()
            .any(|own| name.eq_ignore_ascii_case(own))
}

pin_project! {
    /// The future of [`Upgrade`].
    pub struct Upgraded<F> {
        #[pin]
        answer: F,
        caller: Option<OnUpgrade>,
    }
}

impl<F, R> Future for Upgraded<F>
where
    F: Future<Output = Result<Response<R>, ProxyError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let Ok(response) = &mut answer
            && response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let Some(caller) = this.caller.take()
            && let Some(upstream) = response.extensions_mut().remove::<OnUpgrade>()
        {
            let upgrade = HeaderValue::from_static("upgrade");
            response.headers_mut().insert(CONNECTION, upgrade);
            tokio::spawn(join(caller, upstream));
        }
        Poll::Ready(answer)
    }
}

/// Copies both ways until both sides have ended, or one breaks.
async fn join(caller: OnUpgrade, upstream: OnUpgrade) {
    let ended = async {
        let (caller, upstream) = tokio::try_join!(caller, upstream).map_err(std::io::Error::other)?;
        let (mut caller, mut upstream) = (TokioIo::new(caller), TokioIo::new(upstream));
        tokio::io::copy_bidirectional(&mut caller, &mut upstream).await
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "an upgraded connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes_on(fields: &[(&'static str, &'static str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        wanted(&headers).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn what_speaks_of_this_hop_is_not_asked_of_the_next() {
        let named = ("connection", "keep-alive, Upgrade");
        for (asked, passed) in [
            ("websocket", Some("websocket")),
            ("h2c", None),
            ("h2c, WebSocket", Some("WebSocket")),
            ("TLS/1.2, HTTP/2.0, SPDY/3.1,tcp", Some("SPDY/3.1, tcp")),
            ("", None),
        ] {
            assert_eq!(passes_on(&[named, ("upgrade", asked)]).as_deref(), passed, "{asked}");
        }
    }

    #[test]
    fn an_upgrade_that_connection_does_not_name_is_none() {
        assert_eq!(passes_on(&[("upgrade", "websocket")]), None);
        assert_eq!(
            passes_on(&[("connection", "x-upgrade"), ("upgrade", "websocket")]),
            None
        );
    }
}
