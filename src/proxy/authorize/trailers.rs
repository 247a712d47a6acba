//! A caller's trailer fields, as clean as its header fields.
//!
//! A recipient may merge trailer fields into the header (RFC 9110 §6.5.1), so one that may not be sent in front of a
//! body may not be sent behind it either.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use crate::{
    credential::placement::strip_headers,
    proxy::{normalise::hop_by_hop, route::Entry},
    upstream::{Body, BoxError},
};

/// The body without the trailer fields that this route's callers may not send.
pub(super) fn cleaned(body: Body, entry: &Entry) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let placed = entry
        .manager
        .as_ref()
        .and_then(|manager| manager.spec().placement.header());
    let ours = entry.headers.iter().map(|(name, _)| name);
    let closed = entry
        .subject_headers
        .iter()
        .chain(ours)
        .chain(placed)
        .chain(&entry.key_header)
        .cloned()
        .collect();
    Cleaned { body, closed }.boxed_unsync()
}

struct Cleaned {
    body: Body,
    closed: Vec<HeaderName>,
}

impl Cleaned {
    fn clean(&self, trailers: &mut HeaderMap) {
        hop_by_hop::strip(trailers);
        strip_headers(trailers, None);
        for name in &self.closed {
            strip_headers(trailers, Some(name));
        }
    }
}

impl http_body::Body for Cleaned {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map(|mut frame| {
                if let Some(trailers) = frame.trailers_mut() {
                    self.clean(trailers);
                }
                frame
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::checked,
        credential::placement::Placement,
        proxy::fixtures::{self, header, route, spec},
        template::{Part, Template},
    };
    use http::{HeaderValue, Method};

    #[tokio::test]
    async fn law_8_what_may_not_stand_in_the_head_may_not_follow_the_body() {
        let mut session = spec("session", &[]);
        session.placement = Placement::Header {
            name: HeaderName::from_static("x-session"),
            value: Template::written("unused"),
        };
        let mut route = route("a", "");
        route.credential = Some(session.name.clone());
        route.subject_headers = vec![HeaderName::from_static("x-user")];
        route.headers = vec![header("x-ours", vec![Part::Written("1".into())])];
        let callers = checked::Callers {
            key_header: HeaderName::from_static("x-key"),
            each: vec![checked::Caller {
                name: "erp".parse().unwrap(),
                shows: checked::Shown::Key(checked::KeyDigest::of(b"0123456789abcdef")),
            }],
        };
        let router = fixtures::router_of(Some(callers), &[route], vec![session]).unwrap();
        let entry = router.find(None, &Method::POST, "/").unwrap().entry;

        let mut trailers = HeaderMap::new();
        for name in [
            "authorization",
            "x-session",
            "x_session",
            "x-user",
            "x-ours",
            "x-key",
            "x_key",
            "proxy-authorization",
            "x-sum",
        ] {
            trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("caller"));
        }
        let body = fixtures::body("data").with_trailers(async move { Some(Ok(trailers)) });
        let whole = cleaned(body.boxed_unsync(), &entry).collect().await.unwrap();
        let left = whole.trailers().unwrap();
        assert_eq!(left.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-sum"]);
        assert_eq!(whole.to_bytes(), "data");
    }
}
