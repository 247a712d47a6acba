//! What a refusal says, and what it was about.

use http::{StatusCode, Uri, header};
use serde_json::Value;

use super::{About, Answer, ErrorRules, Purpose, Refusal, Sign, json, lifetime, text};
use crate::{clock::Now, credential::grant::Secrets};

/// RFC 6749 §5.2.
const INVALID_GRANT: &str = "invalid_grant";
/// RFC 6749 §5.2.
const INVALID_CLIENT: &str = "invalid_client";

/// The error's code in a body, by the rules' pointers. Codes that say "no error" are none.
pub(super) fn code(json: Option<&Value>, errors: &ErrorRules) -> Option<String> {
    let json = json?;
    errors
        .code
        .iter()
        .filter_map(|pointer| json::text(json.pointer(pointer)?))
        .find(|code| !says_success(code))
        .map(|code| code.into_owned())
}

/// Envelopes put a code into every answer: `0`, `200`, `ok`.
fn says_success(code: &str) -> bool {
    let code = code.trim();
    ["0", "ok", "success", "none", "false"]
        .iter()
        .any(|word| code.eq_ignore_ascii_case(word))
        || (code.len() == 3 && code.starts_with('2') && code.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Reads a definite refusal.
pub(super) fn read(
    answer: &Answer<'_>,
    json: Option<&Value>,
    code: Option<String>,
    purpose: Purpose,
    errors: &ErrorRules,
    secrets: &Secrets,
    now: Now,
) -> Refusal {
    let about = about(answer, json, code.as_deref(), purpose, errors);
    let said = match json {
        _ if answer.status.is_redirection() => Some(redirect(answer, secrets)),
        Some(Value::String(said)) => text::printable(said, text::LONGEST, secrets),
        Some(json) => json::find(json, &errors.text).and_then(|said| text::printable(&said, text::LONGEST, secrets)),
        None => Some(text::of_body(answer.body, secrets)),
    };
    let hint = code
        .as_deref()
        .and_then(|code| errors.hints.iter().find(|(of, _)| of == code))
        .map(|(_, hint)| hint.clone());
    Refusal {
        about,
        status: answer.status.as_u16(),
        code: code.and_then(|code| text::printable(&code, text::LONGEST_CODE, secrets)),
        text: said,
        hint,
        retry_after: lifetime::retry_after(answer.headers, now),
    }
}

fn about(
    answer: &Answer<'_>,
    json: Option<&Value>,
    code: Option<&str>,
    purpose: Purpose,
    errors: &ErrorRules,
) -> About {
    let names = |signs: &[Sign]| {
        signs
            .iter()
            .any(|sign| matches!(sign, Sign::Code(named) if Some(named.as_str()) == code))
    };
    let shows = |signs: &[Sign]| signs.iter().any(|sign| is_shown(sign, answer.status, json));
    let is_client = code == Some(INVALID_CLIENT);

    if answer.status == StatusCode::TOO_MANY_REQUESTS
        || (answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.headers.contains_key(header::RETRY_AFTER))
    {
        return About::Rate;
    }
    // A code that a preset names says more than `invalid_client`, and that says more than a mere status.
    match purpose {
        Purpose::Refresh if names(&errors.dead) => About::RefreshToken,
        Purpose::SignIn | Purpose::Step if names(&errors.subject) => About::Subject,
        Purpose::SignIn | Purpose::Step if names(&errors.login) => About::Login,
        _ if is_client => About::Client,
        Purpose::Refresh if shows(&errors.dead) => About::RefreshToken,
        Purpose::Refresh => About::Request,
        Purpose::SignIn | Purpose::Step if shows(&errors.subject) => About::Subject,
        Purpose::SignIn | Purpose::Step if shows(&errors.login) => About::Login,
        Purpose::SignIn if code == Some(INVALID_GRANT) || answer.status == StatusCode::UNAUTHORIZED => About::Login,
        Purpose::SignIn | Purpose::Step => About::Request,
    }
}

fn is_shown(sign: &Sign, status: StatusCode, json: Option<&Value>) -> bool {
    match sign {
        Sign::Code(_) => false,
        Sign::Status { status: named, field } => {
            *named == status.as_u16()
                && field
                    .as_ref()
                    .is_none_or(|(pointer, wanted)| json.is_some_and(|json| json::holds(json, pointer, wanted)))
        }
    }
}

/// Whether a server error nevertheless says for certain what became of the request: a preset names its status.
pub(super) fn is_definite(status: StatusCode, json: Option<&Value>, purpose: Purpose, errors: &ErrorRules) -> bool {
    let shows = |signs: &[Sign]| signs.iter().any(|sign| is_shown(sign, status, json));
    errors.unspent.contains(&status.as_u16())
        || match purpose {
            Purpose::Refresh => shows(&errors.dead),
            Purpose::SignIn | Purpose::Step => shows(&errors.subject) || shows(&errors.login),
        }
}

/// Where a redirect points, without its query: a token endpoint may put the request's own parameters there.
fn redirect(answer: &Answer<'_>, secrets: &Secrets) -> String {
    let target = answer
        .headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| location.parse::<Uri>().ok())
        .map(|uri| {
            // The last `@` ends a user and a password, if there are any.
            let host = uri
                .authority()
                .and_then(|authority| authority.as_str().rsplit('@').next());
            match (uri.scheme_str(), host) {
                (Some(scheme), Some(host)) => format!("{scheme}://{host}{}", uri.path()),
                _ => uri.path().to_owned(),
            }
        })
        .and_then(|target| text::printable(&target, text::LONGEST, secrets));
    match target {
        Some(target) => {
            format!("a redirect to {target}; redirects are never followed, so set the request's url to where it ends")
        }
        None => "a redirect; redirects are never followed, so set the request's url to where it ends".to_owned(),
    }
}
