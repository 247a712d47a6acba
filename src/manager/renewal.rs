//! A renewal that a person asks for: whether it is made now, and what came of it.

use tokio::sync::oneshot;

use super::words;
use crate::{
    clock::{Deadline, Now},
    credential::{
        Spec,
        lifecycle::{Lifecycle, NotNow},
        token::Position,
    },
};

/// Why a person gets no renewal; each holds a sentence for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenewalError {
    /// There is nothing to renew, or it isn't time: nothing was asked for.
    #[error("{0}")]
    NotNow(String),
    /// It was asked for, and brought nothing.
    #[error("{0}")]
    Failed(String),
}

/// What came of it, in a sentence.
pub(super) type Renewed = Result<String, RenewalError>;

/// Those who wait for what comes of a renewal.
#[derive(Default)]
pub(super) struct Wishes(Vec<Wish>);

struct Wish {
    /// What was held when it was made.
    before: Option<Position>,
    /// Whether tokens were asked for since; else it waits for what it found under way.
    is_asked: bool,
    answer: oneshot::Sender<Renewed>,
}

impl Wishes {
    /// Takes a wish in. Whether tokens are to be asked for: they aren't where it isn't time, or where it is being done.
    pub(super) fn take(
        &mut self,
        lifecycle: &Lifecycle,
        spec: &Spec,
        now: Now,
        answer: oneshot::Sender<Renewed>,
    ) -> bool {
        let why_not = lifecycle.why_not_now(now);
        match &why_not {
            None | Some(NotNow::UnderWay) => self.0.push(Wish {
                before: lifecycle.position(),
                is_asked: why_not.is_none(),
                answer,
            }),
            // Whoever asked may have gone.
            Some(not_now) => drop(answer.send(Err(RenewalError::NotNow(not_now_words(spec, not_now, now))))),
        }
        why_not.is_none()
    }

    /// Tells those whose wish has come to an end. Whether tokens are to be asked for now: what was under way has ended,
    /// well, and was no renewal.
    pub(super) fn settle(&mut self, lifecycle: &Lifecycle, spec: &Spec, now: Now) -> bool {
        let mut asks = false;
        for wish in std::mem::take(&mut self.0) {
            match outcome(wish.before, lifecycle, spec, now) {
                Some(Err(_)) if !wish.is_asked && lifecycle.why_not_now(now).is_none() => {
                    asks = true;
                    self.0.push(Wish { is_asked: true, ..wish });
                }
                // Whoever asked may have gone.
                Some(outcome) => drop(wish.answer.send(outcome)),
                None => self.0.push(wish),
            }
        }
        asks
    }
}

/// What came of a wish that was made when this was held; `None` while that isn't known.
fn outcome(before: Option<Position>, lifecycle: &Lifecycle, spec: &Spec, now: Now) -> Option<Renewed> {
    let name = &spec.name;
    let held = lifecycle.position();
    if let Some(position) = held.filter(|position| Some(*position) > before) {
        let was = before.map_or_else(String::new, |before| format!(", it was {before}"));
        let expires = lifecycle.tokens().and_then(|tokens| tokens.expires);
        let expires = expires.map_or_else(String::new, |at| format!("; it expires in {}", span(at, now)));
        let unsaved = match lifecycle.is_unsaved() {
            true => "; it is in use, and not saved yet",
            false => "",
        };
        return Some(Ok(format!(
            "credential '{name}' has a new token: {position}{was}{expires}{unsaved}"
        )));
    }
    let trouble = lifecycle.trouble();
    // A store that fails is tried again for as long as it takes; a person need not wait for that.
    let has_ended = lifecycle.is_at_rest() || lifecycle.is_kept_waiting(now);
    has_ended.then(|| {
        let mut words = match &trouble {
            Some(trouble) => words::what_happened(spec, trouble),
            None => format!("credential '{name}' got no new token, and its log says why"),
        };
        if let Some(advice) = trouble.as_ref().and_then(|trouble| words::what_to_do(spec, trouble)) {
            words = format!("{words}; {advice}");
        }
        if lifecycle.is_usable(now) {
            words.push_str("; the held token still works");
        }
        Err(RenewalError::Failed(words))
    })
}

fn not_now_words(spec: &Spec, not_now: &NotNow, now: Now) -> String {
    let name = &spec.name;
    match not_now {
        NotNow::UnderWay => format!("credential '{name}' is being renewed already"),
        NotNow::InDoubt(until) => {
            let until = until.map_or_else(String::new, |until| format!(" in {},", span(until, now)));
            format!(
                "nobody knows what came of the last token request of credential '{name}': its refresh token isn't sent \
                 again before the held token has expired{until} or is rejected, for until then nothing is lost by waiting"
            )
        }
        NotNow::Person(trouble) => {
            let happened = words::what_happened(spec, trouble);
            match words::what_to_do(spec, trouble) {
                Some(advice) => format!("{happened}: {advice}"),
                None => happened,
            }
        }
        NotNow::BackOff(trouble, until) => {
            let advice = words::what_to_do(spec, trouble).map_or_else(String::new, |advice| format!("; {advice}"));
            format!(
                "{}; nothing is asked for again before {} have passed{advice}",
                words::what_happened(spec, trouble),
                span(*until, now)
            )
        }
        NotNow::Cooldown(until) => format!(
            "the API rejects fresh tokens of credential '{name}' too, so that another one is of no use: none is asked \
             for before {} have passed",
            span(*until, now)
        ),
        NotNow::TooYoung(until) => format!(
            "the token of credential '{name}' is younger than its `min_age` and still good: it is left alone for another {}",
            span(*until, now)
        ),
    }
}

/// How long until then, as people say it.
fn span(until: Deadline, now: Now) -> String {
    let seconds = until.remaining(now).as_millis().div_ceil(1000);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3600),
    }
}
