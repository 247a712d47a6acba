//! The answers of this room.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{Either, Full};
use serde::Serialize;

use super::live::Events;

/// The body of an answer here: short and whole, or a stream of events.
pub type Body = Either<Full<Bytes>, Events>;

/// OpenMetrics 1.0, "Overall Structure".
const OPENMETRICS: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
/// "Exposition formats", "Text-based format".
const PROMETHEUS_TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
/// The HTML standard, §9.2.5.
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// RFC 9457 §3.
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

pub(super) fn text(text: &'static str) -> Response<Body> {
    whole(StatusCode::OK, TEXT, text)
}

pub(super) fn openmetrics(page: String) -> Response<Body> {
    whole(StatusCode::OK, OPENMETRICS, page)
}

pub(super) fn prometheus_text(page: String) -> Response<Body> {
    whole(StatusCode::OK, PROMETHEUS_TEXT, page)
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    whole(status, JSON, to_json(value))
}

pub(super) fn html(page: Bytes) -> Response<Body> {
    whole(StatusCode::OK, HTML, page)
}

pub(super) fn events(events: Events) -> Response<Body> {
    with_headers(StatusCode::OK, EVENTS, Either::Right(events))
}

/// A problem (RFC 9457) with a stable code, told in the body and in `x-bearerd-error`.
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: Cow<'static, str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// A request that can't be read.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// A request for something else than what is here.
    pub(super) fn no_route(detail: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_route", detail)
    }

    pub(super) fn answer(&self) -> Response<Body> {
        #[derive(Serialize)]
        struct Page<'a> {
            title: &'a str,
            status: u16,
            code: &'a str,
            detail: &'a str,
        }
        let page = Page {
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
        };
        let mut response = whole(self.status, PROBLEM, to_json(&page));
        response
            .headers_mut()
            .insert("x-bearerd-error", HeaderValue::from_static(self.code));
        response
    }
}

fn to_json(value: &impl Serialize) -> String {
    // The types of this room have text keys only and cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

fn whole(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    with_headers(status, content_type, Either::Left(Full::new(body.into())))
}

fn with_headers(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    // All of it changes from one moment to the next.
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // It is what it says, whatever a browser makes of it.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    response
}
