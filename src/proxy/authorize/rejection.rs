//! Whether an answer says that the access token is no longer good.

use std::{collections::VecDeque, time::Duration};

use http::{
    HeaderMap, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::Value;

use super::pieces::{Piece, Pieces};
use crate::{credential::reply::Rejection, upstream::Body};

/// The most of an answer that is read to look for a sign, in bytes.
const LIMIT: usize = 64 * 1024;

/// What an answer says of the token that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Silent,
    /// It is rejected, by a 401: the request itself was not acted on (RFC 9110 §15.5.2).
    Unauthorized,
    /// It is rejected by another sign, and the request may have been acted on.
    Rejected,
}

/// The verdict, where the head of the answer is enough for one.
pub(super) fn at_a_glance(response: &Response<Body>, signs: &[Rejection]) -> Option<Verdict> {
    let status = response.status();
    let mut of_status = signs.iter().filter(|sign| sign.status == status.as_u16()).peekable();
    let has_signs = of_status.peek().is_some();
    // A 401 needs no sign in its body, unless the credential says that some 401s mean something else.
    match status {
        StatusCode::UNAUTHORIZED if !has_signs || of_status.any(|sign| sign.field.is_none()) => {
            Some(Verdict::Unauthorized)
        }
        _ if !has_signs => Some(Verdict::Silent),
        _ if of_status.any(|sign| sign.field.is_none()) => Some(Verdict::Rejected),
        _ if !is_readable(response.headers()) => Some(Verdict::Silent),
        _ => None,
    }
}

/// The verdict, and the answer as it came: at most a beginning of its body is read, and put back.
pub(super) async fn judge(
    response: Response<Body>,
    signs: &[Rejection],
    patience: Duration,
) -> (Response<Body>, Verdict) {
    if let Some(verdict) = at_a_glance(&response, signs) {
        return (response, verdict);
    }
    let status = response.status();
    let of_status = || signs.iter().filter(|sign| sign.status == status.as_u16());
    let rejected = match status {
        StatusCode::UNAUTHORIZED => Verdict::Unauthorized,
        _ => Verdict::Rejected,
    };
    let (parts, body) = response.into_parts();
    let (body, text) = peek(body, patience).await;
    let json = text.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    let is_signed = json.is_some_and(|json| {
        of_status()
            .filter_map(|sign| sign.field.as_ref())
            .any(|(pointer, wanted)| json.pointer(pointer).is_some_and(|found| is_text(found, wanted)))
    });
    let verdict = if is_signed { rejected } else { Verdict::Silent };
    (Response::from_parts(parts, body), verdict)
}

fn is_readable(headers: &HeaderMap) -> bool {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase())
        .is_some_and(|essence| essence == "application/json" || essence.ends_with("+json"));
    is_json && !headers.contains_key(CONTENT_ENCODING)
}

fn is_text(found: &Value, wanted: &str) -> bool {
    match found {
        Value::String(text) => text == wanted,
        Value::Number(number) => number.to_string() == wanted,
        Value::Bool(truth) => truth.to_string() == wanted,
        _ => false,
    }
}

/// The body, and its text if that is small and came within `patience`.
async fn peek(mut body: Body, patience: Duration) -> (Body, Option<Vec<u8>>) {
    if body.size_hint().lower() > LIMIT as u64 {
        return (body, None);
    }
    let mut held = VecDeque::new();
    let mut text = Vec::new();
    let read_on = async {
        while let Some(frame) = body.frame().await {
            // A body that breaks off breaks off for the caller too: the error comes again from the rest.
            let Some(piece) = Piece::of(frame.ok()?) else { continue };
            if let Piece::Data(data) = &piece {
                text.extend_from_slice(data);
            }
            held.push_back(piece);
            if text.len() > LIMIT {
                return None;
            }
        }
        Some(())
    };
    let is_whole = tokio::time::timeout(patience, read_on).await.ok().flatten().is_some();
    let rest = (!is_whole).then_some(body);
    (Pieces { held, rest }.boxed_unsync(), is_whole.then_some(text))
}

#[cfg(test)]
mod tests;
