//! How a credential stands, for the status page and for readiness: no secret in it.

use serde::Serialize;

use super::{
    TokenError,
    history::{History, TokenEvent},
    words,
};
use crate::{
    clock::Now,
    credential::{
        Spec,
        lifecycle::{Lifecycle, Offer, Trouble},
        token::Position,
    },
};

/// What a task last published of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    pub(super) position: Option<Position>,
    pub(super) usable: bool,
    pub(super) waiting: bool,
    pub(super) needs_login: bool,
    pub(super) obtained: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) renews: Option<u64>,
    pub(super) dies: Option<u64>,
    pub(super) unsaved: bool,
    pub(super) in_doubt: bool,
    pub(super) cools: Option<u64>,
    pub(super) tries: Option<u64>,
    pub(super) history: History,
    pub(super) error: Option<LastError>,
    pub(super) advice: Option<String>,
    /// What callers hear who can wait no longer for a store that fails.
    pub(super) store_fails: Option<TokenError>,
}

/// The last thing that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LastError {
    /// When: milliseconds since the Unix epoch.
    pub at: u64,
    /// A fixed word.
    pub code: String,
    /// What happened, in words.
    pub text: String,
}

/// How a credential stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// `live`, `idle` (nobody has asked yet), `renewing`, `failing`, `login_required`, `static` or `subjects`.
    pub state: String,
    /// Whether a request would get a token at once.
    pub usable: bool,
    /// Whether `/readyz` waits for it.
    pub required: bool,
    /// Which sign-in its tokens grew from.
    pub chain: Option<u64>,
    /// How many rotations since.
    pub generation: Option<u64>,
    /// When they were obtained; this and the next are milliseconds since the Unix epoch.
    pub obtained: Option<u64>,
    /// When the access token expires.
    pub expires: Option<u64>,
    /// When it is renewed if it is in use.
    pub renews: Option<u64>,
    /// When a person has to sign in again unless the grant is renewed before, where that is known.
    pub dies: Option<u64>,
    /// Whether tokens are in use that the store has not taken.
    pub unsaved: bool,
    /// Whether nobody knows what came of sending its refresh token.
    pub in_doubt: bool,
    /// Until when the API's rejections pass through, because it rejects fresh tokens too.
    pub cools: Option<u64>,
    /// When tokens are asked for again after a failure, if somebody wants them.
    pub tries: Option<u64>,
    /// What happened to its tokens lately, newest first.
    pub events: Vec<TokenEvent>,
    /// How many subjects are in memory, where it has subjects.
    pub subjects: Option<u64>,
    /// The last thing that went wrong, if it still matters.
    pub last_error: Option<LastError>,
    /// What to do about it.
    pub what_to_do: Option<String>,
}

impl Snapshot {
    pub(super) fn take(spec: &Spec, lifecycle: &Lifecycle, history: &History, before: &Self, now: Now) -> Self {
        let tokens = lifecycle.tokens();
        let trouble = lifecycle.trouble();
        let offer = lifecycle.offer(now);
        let error = trouble.as_ref().map(|trouble| {
            let text = words::what_happened(spec, trouble);
            let same = before.error.as_ref().filter(|error| error.text == text);
            LastError {
                at: same.map_or(now.wall, |error| error.at),
                code: trouble.as_str().into(),
                text,
            }
        });
        Self {
            position: lifecycle.position(),
            usable: matches!(offer, Offer::Token(_)),
            waiting: matches!(offer, Offer::Wait) && !lifecycle.is_quiet(),
            needs_login: matches!(&offer, Offer::Refused(trouble, _) if trouble.needs_login()),
            obtained: tokens.map(|tokens| tokens.obtained),
            expires: tokens.and_then(|tokens| tokens.expires).map(|at| at.wall()),
            renews: lifecycle.renew_at().map(|at| at.wall()),
            dies: lifecycle.ends(now).map(|at| at.wall()),
            unsaved: lifecycle.is_unsaved(),
            in_doubt: lifecycle.is_in_doubt(),
            cools: lifecycle.cools_until(now).map(|at| at.wall()),
            tries: lifecycle.tries_at(now).map(|at| at.wall()),
            history: history.clone(),
            error,
            advice: match (&trouble, lifecycle.near_end(now)) {
                (Some(trouble), _) => words::what_to_do(spec, trouble),
                (None, Some((at, why))) => Some(words::about_the_end(spec, at, why, now)),
                (None, None) => None,
            },
            store_fails: trouble
                .filter(|trouble| matches!(trouble, Trouble::Store(_)))
                .map(|trouble| words::token_error(spec, &trouble)),
        }
    }
}

impl Status {
    pub(super) fn of(spec: &Spec, snapshot: &Snapshot) -> Self {
        let state = match snapshot {
            Snapshot { usable: true, .. } => "live",
            Snapshot { needs_login: true, .. } => "login_required",
            Snapshot { waiting: true, .. } => "renewing",
            Snapshot { error: Some(_), .. } => "failing",
            _ => "idle",
        };
        Self {
            state: state.into(),
            usable: snapshot.usable,
            chain: snapshot.position.map(|position| position.chain),
            generation: snapshot.position.map(|position| position.generation),
            obtained: snapshot.obtained,
            expires: snapshot.expires,
            renews: snapshot.renews,
            dies: snapshot.dies,
            unsaved: snapshot.unsaved,
            in_doubt: snapshot.in_doubt,
            cools: snapshot.cools,
            tries: snapshot.tries,
            events: snapshot.history.events(),
            last_error: snapshot.error.clone(),
            what_to_do: snapshot.advice.clone(),
            ..Self::bare(spec)
        }
    }

    pub(super) fn fixed(spec: &Spec) -> Self {
        Self {
            state: "static".into(),
            usable: true,
            ..Self::bare(spec)
        }
    }

    pub(super) fn of_subjects(spec: &Spec, count: u64) -> Self {
        Self {
            state: "subjects".into(),
            usable: true,
            subjects: Some(count),
            ..Self::bare(spec)
        }
    }

    fn bare(spec: &Spec) -> Self {
        Self {
            name: spec.name.to_string(),
            state: String::new(),
            usable: false,
            required: spec.policy.required,
            chain: None,
            generation: None,
            obtained: None,
            expires: None,
            renews: None,
            dies: None,
            unsaved: false,
            in_doubt: false,
            cools: None,
            tries: None,
            events: Vec::new(),
            subjects: None,
            last_error: None,
            what_to_do: None,
        }
    }
}
