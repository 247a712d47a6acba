//! An answer's body as JSON, found by pointers (RFC 6901).

use std::borrow::Cow;

use serde_json::{Deserializer, Value};

use super::mend::mend;

/// The first complete JSON object, array or string of a body.
///
/// Tolerated, because a refresh token may be in it: a byte order mark, bytes that are not UTF-8, warnings before
/// the first brace, anything after the value, and what [`mend`] mends.
pub(in crate::credential) fn parse(body: &[u8]) -> Option<Value> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    let from_brace = text.find('{').map_or("", |at| &text[at..]);
    first_value(&text)
        .or_else(|| first_value(from_brace))
        .or_else(|| first_value(&mend(from_brace)))
}

fn first_value(text: &str) -> Option<Value> {
    let value = Deserializer::from_str(text).into_iter().next()?.ok()?;
    matches!(value, Value::Object(_) | Value::Array(_) | Value::String(_)).then_some(value)
}

/// A string, or a number or `true` as text; nothing where it is blank, absent or anything else.
pub(in crate::credential) fn text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Bool(true) => Some(Cow::Borrowed("true")),
        _ => None,
    }
}

/// What the first pointer that yields text yields.
pub(super) fn find<'a>(json: &'a Value, pointers: &[String]) -> Option<Cow<'a, str>> {
    pointers.iter().find_map(|pointer| text(json.pointer(pointer)?))
}

/// A token: a string or a number.
pub(super) fn find_token<'a>(json: &'a Value, pointers: &[String]) -> Option<Cow<'a, str>> {
    pointers
        .iter()
        .filter_map(|pointer| json.pointer(pointer))
        .filter(|value| !value.is_boolean())
        .find_map(text)
}

/// Whether the pointer's text is this one.
pub(super) fn holds(json: &Value, pointer: &str, wanted: &str) -> bool {
    match json.pointer(pointer) {
        Some(Value::String(text)) => text == wanted,
        Some(Value::Null) | Some(Value::Array(_)) | Some(Value::Object(_)) | None => false,
        Some(Value::Bool(flag)) => flag.to_string() == wanted,
        Some(Value::Number(number)) => number.to_string() == wanted,
    }
}
