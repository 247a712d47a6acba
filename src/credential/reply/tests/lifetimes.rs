//! When tokens expire, by every way to say it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

fn expires_in(case: &Case) -> Option<u64> {
    case.tokens().expires.map(|expires| expires.remaining(NOW).as_secs())
}

fn with(field: &str) -> Case {
    case(200, format!(r#"{{"access_token":"a",{field}}}"#))
}

#[test]
fn a_lifetime_is_a_number_or_a_text() {
    const TEN_YEARS: u64 = 315_360_000;
    for (field, seconds) in [
        (r#""expires_in":3600"#, Some(3600)),
        (r#""expires_in":"3600""#, Some(3600)),
        (r#""expires_in":" 3600.9 ""#, Some(3600)),
        (r#""expires_in":59.99"#, Some(59)),
        (r#""expires_in":1e300"#, Some(TEN_YEARS)),
        (r#""expires_in":"99999999999999999999""#, Some(TEN_YEARS)),
        (r#""expires_in":"inf""#, Some(TEN_YEARS)),
        (r#""expires_in":0"#, None),
        (r#""expires_in":0.5"#, None),
        (r#""expires_in":-3600"#, None),
        (r#""expires_in":"NaN""#, None),
        (r#""expires_in":"soon""#, None),
        (r#""expires_in":null"#, None),
        (r#""expires_in":true"#, None),
        (r#""expires_in":[3600]"#, None),
        (r#""expires_in":null,"expiresIn":60"#, Some(60)),
        (r#""other":1"#, None),
    ] {
        assert_eq!(expires_in(&with(field)), seconds, "{field}");
    }
    let milliseconds = with(r#""expires_in":90500"#).with(|case| case.rules.unit = Unit::Milliseconds);
    assert_eq!(
        milliseconds.tokens().expires.unwrap().remaining(NOW),
        Duration::from_millis(90_500)
    );
}

#[test]
fn an_expiry_is_an_epoch_or_a_date() {
    for field in [
        r#""expires_at":1750003600"#,
        r#""expires_at":"1750003600""#,
        r#""expires_at":1750003600000"#,
        r#""expires_at":"2025-06-15T16:06:40Z""#,
        r#""expires_at":"2025-06-15T18:06:40.000+02:00""#,
        r#""expires_at":"2025-06-15T16:06:40""#,
        r#""expires_at":"2025-06-15 16:06:40""#,
        r#""expires_at":"Sun, 15 Jun 2025 16:06:40 GMT""#,
        r#""expires_in":"2025-06-15T16:06:40Z""#,
        r#""expires_in":0,"expires_at":1750003600"#,
    ] {
        assert_eq!(expires_in(&with(field)), Some(3600), "{field}");
    }
    for nothing in [
        "1749999999",
        "0",
        "-5",
        "\"\"",
        "\"0001-01-01T00:00:00\"",
        "{}",
        "1e999",
    ] {
        let body = format!(r#"{{"access_token":"a","expires_at":{nothing}}}"#);
        let outcome = case(200, body).outcome();
        assert!(
            !matches!(outcome, Outcome::Granted(Tokens { expires: Some(_), .. })),
            "{nothing}"
        );
    }
}

#[test]
fn an_expiry_counts_from_the_answers_own_clock() {
    // The server's clock is ten minutes ahead of ours; the token lives for an hour.
    let case = with(r#""expires_at":1750004200"#).header("date", "Sun, 15 Jun 2025 15:16:40 GMT");
    assert_eq!(expires_in(&case), Some(3600));
}

fn jwt(claims: &str) -> String {
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn a_jwt_says_itself_when_it_expires() {
    let answer = |claims: &str, more: &str| case(200, format!(r#"{{"token":"{}"{more}}}"#, jwt(claims)));
    assert_eq!(expires_in(&answer(r#"{"exp":1750000060}"#, "")), Some(60));
    let ahead = r#"{"iat":1750000600,"exp":1750004200}"#;
    assert_eq!(expires_in(&answer(ahead, "")), Some(3600), "counted from iat");
    assert_eq!(
        expires_in(&answer(ahead, r#","expires_in":5"#)),
        Some(5),
        "the answer says more"
    );
    assert_eq!(expires_in(&answer(ahead, r#","expires_in":0"#)), Some(3600));
    for useless in ["{}", "[]", "x", r#"{"exp":"soon"}"#, r#"{"exp":5}"#] {
        assert_eq!(expires_in(&answer(useless, "")), None, "{useless}");
    }
    assert_eq!(expires_in(&case(200, r#"{"token":"a.b.c"}"#)), None);
}

#[test]
fn a_refresh_token_may_have_a_life_of_its_own() {
    let dies = |field: &str| {
        let body = format!(r#"{{"access_token":"a","refresh_token":"r",{field}}}"#);
        case(200, body).tokens().dies.map(|dies| dies.remaining(NOW).as_secs())
    };
    assert_eq!(dies(r#""refresh_expires_in":"86400""#), Some(86_400));
    assert_eq!(
        dies(r#""refresh_expires_in":0"#),
        None,
        "some providers say so for never"
    );
    assert_eq!(
        with(r#""refresh_expires_in":60"#).tokens().dies,
        None,
        "there is no refresh token"
    );
}
