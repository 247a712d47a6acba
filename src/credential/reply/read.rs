//! From an answer to its meaning.

use serde_json::Value;

use super::{Answer, ErrorRules, Lost, Outcome, Purpose, REPLY_LIMIT, ReplyRules, json, lifetime, refusal};
use crate::{
    clock::Now,
    credential::{grant::Secrets, token::Tokens},
};

/// What an answer means. `secrets` are those of the request: no text of the outcome repeats one.
pub fn read(
    answer: &Answer<'_>,
    purpose: Purpose,
    rules: &ReplyRules,
    errors: &ErrorRules,
    secrets: &Secrets,
    now: Now,
) -> Outcome {
    let json = json::parse(answer.body);
    let json = json.as_ref();
    let code = refusal::code(json, errors);
    let refused = |code| Outcome::Refused(refusal::read(answer, json, code, purpose, errors, secrets, now));

    let is_named = rules.ok.contains(&answer.status.as_u16());
    if !answer.status.is_success() && !is_named {
        if answer.status.is_server_error() && !refusal::is_definite(answer.status, json, purpose, errors) {
            return Outcome::Lost(Lost::ServerError(answer.status.as_u16()));
        }
        return refused(code);
    }
    // The refresh token first: nothing that is odd about the answer may come before this.
    if let Some(tokens) = json.and_then(|json| tokens(json, rules, answer, now)) {
        return Outcome::Granted(tokens);
    }
    if answer.cut {
        let is_over_long = answer.body.len() >= REPLY_LIMIT;
        return Outcome::Lost(if is_over_long { Lost::OverLong } else { Lost::CutShort });
    }
    if code.is_some() {
        return refused(code);
    }
    match purpose {
        Purpose::Step if is_named || rules.ok.is_empty() => Outcome::Done,
        Purpose::Step => refused(None),
        Purpose::Refresh | Purpose::SignIn => Outcome::Lost(Lost::NoToken),
    }
}

/// The tokens of a success, if there is one at all.
fn tokens(json: &Value, rules: &ReplyRules, answer: &Answer<'_>, now: Now) -> Option<Tokens> {
    let access = json::find_token(json, &rules.access_token);
    let refresh = json::find_token(json, &rules.refresh_token);
    if access.is_none() && refresh.is_none() {
        return None;
    }
    Some(Tokens {
        expires: access
            .as_deref()
            .and_then(|access| lifetime::of_access(json, access, rules, answer.headers, now)),
        dies: refresh.as_deref().and_then(|_| lifetime::of_refresh(json, rules, now)),
        access: access.map(|token| token.into_owned().into()),
        refresh: refresh.map(|token| token.into_owned().into()),
        obtained: now.wall,
    })
}
