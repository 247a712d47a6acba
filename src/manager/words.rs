//! Troubles in an operator's words: what happened, and what to do next.

use super::TokenError;
use crate::{
    clock::{Deadline, Now},
    credential::{
        Spec,
        lifecycle::{Ending, Trouble},
        reply::{About, Lost, Refusal},
    },
};

/// What happened, in a sentence.
pub(super) fn what_happened(spec: &Spec, trouble: &Trouble) -> String {
    let name = &spec.name;
    match trouble {
        Trouble::Unreachable(why) => format!("the token endpoint of credential {name} could not be used: {why}"),
        Trouble::Lost(lost) => format!(
            "a token request of credential {name} has an unknown outcome: {}",
            lost_words(lost)
        ),
        Trouble::Refused(refusal) => format!(
            "the token endpoint of credential {name} refused: {}",
            refusal_words(refusal)
        ),
        Trouble::NoAccessToken => format!("the token endpoint of credential {name} answered without an access token"),
        Trouble::Store(fault) => format!("no token request of credential {name} is made: {fault}"),
        Trouble::RefusedElsewhere => {
            format!("the token endpoint of credential {name} refused an earlier request, and its back-off still runs")
        }
        Trouble::NeverSignedIn => format!("nobody has signed in with credential {name} yet"),
        Trouble::Dead => format!("the session of credential {name} has ended, and it has no way to sign in by itself"),
        Trouble::Foreign => format!(
            "the stored tokens of credential {name} belong to other settings (token endpoint, client, user or scope)"
        ),
    }
}

/// What to do about it, where that is known.
pub(super) fn what_to_do(spec: &Spec, trouble: &Trouble) -> Option<String> {
    let name = &spec.name;
    let advice = match trouble {
        Trouble::NeverSignedIn | Trouble::Dead | Trouble::Foreign => login_advice(spec),
        Trouble::Refused(refusal) => match (&refusal.hint, refusal.about) {
            (Some(hint), _) => hint.clone(),
            (None, About::Login) => format!("check the user name and password of credentials.{name}"),
            (None, About::Client) => format!("check the client id, secret and auth of credentials.{name}"),
            (None, About::Subject) => "check what the caller sends as its subject".into(),
            (None, About::Request) => format!("check the token endpoint and the parameters of credentials.{name}"),
            (None, About::RefreshToken | About::Rate) => return None,
        },
        Trouble::Unreachable(_) => format!(
            "run `bearerd check`, and see that the token endpoint of credentials.{name} can be reached from here"
        ),
        Trouble::Lost(Lost::NoToken) | Trouble::NoAccessToken => {
            format!("say in credentials.{name}.reply where the tokens stand in its answer")
        }
        Trouble::Store(_) => "see that the store named under `state` can be written".into(),
        Trouble::Lost(_) | Trouble::RefusedElsewhere => return None,
    };
    Some(advice)
}

/// What to do about the end of a grant, ahead of it or after it.
pub(super) fn about_the_end(spec: &Spec, at: Deadline, why: Ending, now: Now) -> String {
    let name = &spec.name;
    let has_passed = at.has_passed(now);
    let (at, login) = (moment(at), login_advice(spec));
    match why {
        _ if has_passed => format!("{login}: its session ended at {at}, as far as its lifetime says"),
        Ending::Unused if spec.policy.keep_alive || spec.policy.refresh_lifetime.is_some() => {
            format!("its refresh token dies at {at} unless a renewal works before: see why they fail, or {login}")
        }
        Ending::Unused => format!(
            "its refresh token dies unused at {at}: use it before, have it renewed with `keep_alive: true` in \
             credentials.{name}, or {login}"
        ),
        Ending::Fixed => format!("{login} before {at}: its session ends then, and no renewal prolongs it"),
        Ending::Last => format!("{login} before {at}: its access token expires then, and it can't be renewed"),
    }
}

/// A moment as people and machines read it: RFC 3339, in UTC.
pub(super) fn moment(at: Deadline) -> String {
    let milliseconds = i64::try_from(at.wall()).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_millisecond(milliseconds).unwrap_or(jiff::Timestamp::MAX);
    format!("{stamp:.0}")
}

fn login_advice(spec: &Spec) -> String {
    let name = &spec.name;
    match spec.steps.first() {
        Some(step) if spec.sign_in.is_none() => format!("run `bearerd login {name} {}`", step.name),
        _ if spec.sign_in.is_some() => format!("run `bearerd login {name}`"),
        _ => format!("put a new refresh token into credentials.{name}"),
    }
}

/// The error of a caller that gets no token.
pub(super) fn token_error(spec: &Spec, trouble: &Trouble) -> TokenError {
    let mut detail = what_happened(spec, trouble);
    if let Some(advice) = what_to_do(spec, trouble) {
        detail = format!("{detail}; {advice}");
    }
    // Whoever hands it out says when the next try is.
    let retry_after = None;
    match trouble {
        Trouble::Refused(Refusal {
            about: About::Subject, ..
        }) => TokenError::SubjectRejected { detail },
        trouble if trouble.needs_login() => TokenError::LoginRequired { detail, retry_after },
        _ => TokenError::Unavailable { detail, retry_after },
    }
}

/// A refusal: its status, code and the vendor's own words.
pub(super) fn refusal_words(refusal: &Refusal) -> String {
    let mut words = format!("status {}", refusal.status);
    if let Some(code) = &refusal.code {
        words.push_str(&format!(", {code}"));
    }
    if let Some(text) = &refusal.text {
        words.push_str(&format!(" ({text})"));
    }
    words
}

/// Why nobody knows the outcome.
pub(super) fn lost_words(lost: &Lost) -> String {
    match lost {
        Lost::NoAnswer => "no complete answer came".into(),
        Lost::CutShort => "the answer was cut short".into(),
        Lost::OverLong => "the answer was longer than a token reply may be".into(),
        Lost::NoToken => "the answer was a success without a readable token".into(),
        Lost::ServerError(status) => format!("status {status}"),
    }
}
