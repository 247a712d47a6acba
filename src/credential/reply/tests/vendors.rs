//! How refusals read, in the shapes of vendors' documents and of what stands before their servers.

use super::*;

fn said(case: &Case) -> (Option<String>, Option<String>) {
    let refusal = case.refusal();
    (refusal.code, refusal.text)
}

fn some(code: &str, text: &str) -> (Option<String>, Option<String>) {
    (Some(code.to_owned()), Some(text.to_owned()))
}

#[test]
fn flat_nested_and_misspelt_errors_are_read() {
    for (body, expected) in [
        // RFC 6749 §5.2.
        (
            r#"{"error":"invalid_grant","error_description":"Bad credentials"}"#,
            some("invalid_grant", "Bad credentials"),
        ),
        // Flowlu's document spells it so.
        (
            r#"{"error":"invalid_grant","error_descrption":"Неверные имя пользователя или пароль"}"#,
            some("invalid_grant", "Неверные имя пользователя или пароль"),
        ),
        // Fluent Commerce nests it.
        (
            r#"{"errors":[{"code":"400","message":{"error":"invalid_grant","error_description":"Bad credentials"}}]}"#,
            some("invalid_grant", "Bad credentials"),
        ),
        // And has messages that are plain text.
        (
            r#"{"errors":[{"code":"400","message":"No permission"}]}"#,
            some("400", "No permission"),
        ),
        (r#"{"error":{"code":7,"message":"busy"}}"#, some("7", "busy")),
        (r#"{"code":1203,"message":"no such app"}"#, some("1203", "no such app")),
    ] {
        assert_eq!(said(&case(400, body)), expected, "{body}");
    }
}

#[test]
fn what_is_no_json_is_named_and_only_plain_text_is_quoted() {
    for (body, expected) in [
        (b"".as_slice(), "an empty answer"),
        (b" \r\n", "an empty answer"),
        (b"<!DOCTYPE html><p>Sign in</p>", "an HTML or XML page"),
        (b"\xEF\xBB\xBF\n<html>", "an HTML or XML page"),
        (b"\x00\xff\xfe\x01", "4 bytes that are no text"),
        (b"ab\x1b[31m", "7 bytes that are no text"),
        (b"{\"error\":\"inv", "JSON that breaks off or is malformed"),
        (b"Bad\r\ncredentials ", "Bad credentials"),
        (b"404 page not found", "404 page not found"),
        (b"\"Bad credentials\"", "Bad credentials"),
    ] {
        assert_eq!(said(&case(400, body)), (None, Some(expected.to_owned())), "{body:?}");
    }
}

#[test]
fn texts_are_short_printable_and_whole_letters() {
    let long = "é".repeat(300);
    let (_, text) = said(&case(400, format!(r#"{{"message":"{long}"}}"#)));
    assert_eq!(text.unwrap(), "é".repeat(200));
    let steering = r#"{"error":"a\u0007b\n","message":"\u202Eevil\u001b[2J\n\ttext\u2028"}"#;
    assert_eq!(said(&case(400, steering)), some("a b", "evil [2J text"));
    let (code, _) = said(&case(400, format!(r#"{{"error":"{long}"}}"#)));
    assert_eq!(code.unwrap().chars().count(), 64);
}

#[test]
fn a_hint_belongs_to_its_code() {
    let hint = |code: &str| case(401, format!(r#"{{"error":"{code}"}}"#)).refusal().hint;
    assert_eq!(
        hint("invalid_client").as_deref(),
        Some("check client_id and client_secret")
    );
    assert_eq!(hint("invalid_clien"), None);
}
