//! A request that asks for another protocol (RFC 9110 §7.8), on a connection of its own.
//!
//! Where the upstream switches, the connection is given away with the answer, as hyper's
//! [`OnUpgrade`] extension; where it answers as to any other request, the connection ends with that answer.

use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::{client::conn::http1, upgrade::OnUpgrade};

use super::{Body, UpstreamError, client::Shared, line::ended, upload::Sending};

impl Shared {
    /// Sends a request that has an `Upgrade` field, and no body.
    pub(super) async fn switch(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let mut request = request.map(|_| Sending::Nothing);
        *request.version_mut() = Version::HTTP_11;
        self.address(&mut request, false);
        let upgrade = HeaderValue::from_static("upgrade");
        request.headers_mut().insert(header::CONNECTION, upgrade);
        let asked = request.headers().get(header::UPGRADE).cloned();

        let connector = self.connector.clone().http1_only();
        let stream = connector.connect(self.origin.clone()).await?;
        let failed = |error: hyper::Error| self.failure(false, &error);
        let (mut sender, connection) = http1::handshake(stream).await.map_err(failed)?;
        let task = tokio::spawn(async move { ended(connection.with_upgrades().await) });
        let Ok(answer) = tokio::time::timeout(self.response_timeout, sender.send_request(request)).await else {
            // One that is stuck wouldn't notice that nobody wants its answer.
            task.abort();
            return Err(self.expired(true));
        };
        let answer = answer.map_err(failed)?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
        }
        let can_switch = answer.extensions().get::<OnUpgrade>().is_some();
        if !can_switch || !is_one_of(answer.headers().get(header::UPGRADE), asked.as_ref()) {
            return Err(self.switched_unasked());
        }
        Ok(answer.map(|_| Body::default()))
    }

    pub(super) fn switched_unasked(&self) -> UpstreamError {
        UpstreamError::Protocol {
            host: self.host.clone(),
            reason: "it switched protocols, which nobody had asked for".into(),
        }
    }
}

/// Whether every protocol of `chosen` was offered: a server may switch to several, one over the other.
fn is_one_of(chosen: Option<&HeaderValue>, offered: Option<&HeaderValue>) -> bool {
    fn protocols(value: Option<&HeaderValue>) -> impl Iterator<Item = &str> {
        let text = value.and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.split(',').map(str::trim).filter(|protocol| !protocol.is_empty())
    }
    let mut chosen = protocols(chosen).peekable();
    chosen.peek().is_some()
        && chosen.all(|protocol| protocols(offered).any(|offer| offer.eq_ignore_ascii_case(protocol)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_offered_may_be_chosen() {
        let value = |text| HeaderValue::from_static(text);
        let offered = value("SPDY/3.1, websocket");
        for (chosen, is_good) in [
            ("WebSocket", true),
            ("h2c", false),
            ("websocket, h2c", false),
            ("", false),
        ] {
            assert_eq!(is_one_of(Some(&value(chosen)), Some(&offered)), is_good, "{chosen}");
        }
        assert!(!is_one_of(None, Some(&offered)));
    }
}
