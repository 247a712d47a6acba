//! How long a token lives.

use std::time::{Duration, UNIX_EPOCH};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use serde_json::Value;

use super::{ReplyRules, Unit, json};
use crate::clock::{Deadline, Now};

/// Longer lifetimes are counted as this: ten years, which no token outlives and no clock overflows on.
pub(super) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Epoch numbers above this are milliseconds: as seconds it would be the year 5138, as milliseconds it was 1973.
const MILLISECONDS_ABOVE: f64 = 1e11;

/// A lifetime above this that is a moment to come is one: some vendors write an epoch where others write seconds.
const EPOCHS_ABOVE: f64 = 1e9;

/// When the access token expires, by the first of these that says so.
///
/// | said | read as |
/// | --- | --- |
/// | `expires_in` as a number or as text | that many units from now |
/// | fractional | rounded down |
/// | huge | ten years |
/// | zero, negative, not a number | not said: a token that is over when it comes helps nobody |
/// | `expires_in` as a date, or above 1e9 and to come as an epoch | as `expires_at` |
/// | `expires_at` as an epoch (milliseconds when above 1e11), RFC 3339 or an HTTP date | counted from the answer's Date, else the token's `iat`, else now |
/// | nothing, and the token is a JWT with `exp` | likewise |
/// | nothing | `None`: the caller assumes a lifetime, or uses the token until it is rejected |
pub(super) fn of_access(
    answer: &Value,
    access: &str,
    rules: &ReplyRules,
    headers: &HeaderMap,
    now: Now,
) -> Option<Deadline> {
    let claims = jwt_claims(access);
    let claim = |name: &str| claims.as_ref()?.get(name).and_then(absolute);
    let base = date(headers).or_else(|| claim("iat")).unwrap_or(now.wall);
    let counted = |at: u64| span_of_millis(at.checked_sub(base)? as f64);

    let found = |pointers: &[String], read: &dyn Fn(&Value) -> Option<Duration>| {
        pointers
            .iter()
            .filter_map(|pointer| answer.pointer(pointer))
            .find_map(read)
    };
    let lifetime = |value: &Value| {
        let epoch = || counted(absolute(value).filter(|_| number(value).is_some_and(|number| number >= EPOCHS_ABOVE))?);
        epoch()
            .or_else(|| relative(value, rules.unit))
            .or_else(|| counted(dated(value.as_str()?)?))
    };
    found(&rules.expires_in, &lifetime)
        .or_else(|| found(&rules.expires_at, &|value| counted(absolute(value)?)))
        .or_else(|| counted(claim("exp")?))
        .map(|span| Deadline::after(now, span))
}

/// When the refresh token dies unused. Zero is how some providers say "never".
pub(super) fn of_refresh(answer: &Value, rules: &ReplyRules, now: Now) -> Option<Deadline> {
    rules
        .refresh_expires_in
        .iter()
        .filter_map(|pointer| answer.pointer(pointer))
        .find_map(|value| relative(value, rules.unit))
        .map(|span| Deadline::after(now, span))
}

/// The answer's Retry-After (RFC 9110 §10.2.3): seconds, or a date counted from the answer's own.
pub(super) fn retry_after(headers: &HeaderMap, now: Now) -> Option<Duration> {
    /// A server that asks for more is asked again after a day all the same.
    const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => span_of_millis(seconds * 1000.0)?,
        Err(_) => span_of_millis(http_date(text)?.checked_sub(date(headers).unwrap_or(now.wall))? as f64)?,
    };
    Some(wait.min(LONGEST_WAIT))
}

/// A positive number of units, given as a number or as text.
fn relative(value: &Value, unit: Unit) -> Option<Duration> {
    let count = number(value)?.floor();
    span_of_millis(match unit {
        Unit::Seconds => count * 1000.0,
        Unit::Milliseconds => count,
    })
}

fn span_of_millis(millis: f64) -> Option<Duration> {
    // Infinity is huge; NaN is not a number.
    (millis >= 1.0).then(|| Duration::from_millis(millis.min(LONGEST.as_millis() as f64) as u64))
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A moment in milliseconds since the Unix epoch: an epoch number, or a date as text.
fn absolute(value: &Value) -> Option<u64> {
    match number(value) {
        Some(epoch) if epoch >= 1.0 && epoch.is_finite() => {
            let millis = if epoch > MILLISECONDS_ABOVE {
                epoch
            } else {
                epoch * 1000.0
            };
            Some(millis as u64)
        }
        Some(_) => None,
        None => dated(value.as_str()?),
    }
}

/// RFC 3339, or an HTTP date; a date without an offset is taken for UTC.
fn dated(text: &str) -> Option<u64> {
    let text = text.trim();
    let millis = text
        .parse::<jiff::Timestamp>()
        .map(|at| at.as_millisecond())
        .or_else(|_| {
            let civil = text.parse::<jiff::civil::DateTime>()?;
            Ok::<_, jiff::Error>(jiff::tz::Offset::UTC.to_timestamp(civil)?.as_millisecond())
        });
    match millis {
        Ok(millis) => u64::try_from(millis).ok(),
        Err(_) => http_date(text),
    }
}

fn http_date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    u64::try_from(at.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn date(headers: &HeaderMap) -> Option<u64> {
    http_date(headers.get(header::DATE)?.to_str().ok()?.trim())
}

/// The claims of a JWT (RFC 7519 §3), unverified: they are used for nothing but the time of the next renewal.
fn jwt_claims(token: &str) -> Option<Value> {
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    json::parse(&claims)
}
