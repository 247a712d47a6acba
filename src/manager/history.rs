//! What happened to a credential's tokens lately: a few lines, in memory, with no secret and no text of anybody else's.

use std::{collections::VecDeque, sync::Arc};

use serde::Serialize;

use crate::credential::{lifecycle::Note, token::Position};

/// How many events are kept of a credential.
const KEPT: usize = 24;

/// Something that happened to a credential's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenEvent {
    /// When, the last time: milliseconds since the Unix epoch.
    pub at: u64,
    /// What.
    pub what: What,
    /// A fixed word for the reason: why tokens were obtained, what a refusal was about.
    pub why: Option<&'static str>,
    /// Where the tokens stand that it is about, or that were in use.
    pub position: Option<Position>,
    /// How often in a row.
    pub times: u32,
}

/// What can happen to tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// New tokens are in use.
    Obtained,
    /// Tokens of the store are in use: another process's, or an earlier run's.
    Adopted,
    /// A person signed in.
    SignedIn,
    /// A token request never left.
    NeverLeft,
    /// A token request was refused.
    Refused,
    /// The outcome of a token request is unknown.
    InDoubt,
    /// Another process's spend was taken over, whose outcome is unknown.
    TakenOver,
    /// The refresh token is dead.
    Dead,
    /// New tokens are in use and not saved.
    Unsaved,
    /// They are saved now.
    Saved,
    /// The store could not be used, and so nothing was asked for.
    StoreTrouble,
    /// Stored tokens belong to other settings.
    Foreign,
    /// The API rejects fresh tokens too.
    Cooldown,
    /// The grant ends soon.
    Ending,
}

impl What {
    /// A fixed word, as in [`TokenEvent`]'s JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Obtained => "obtained",
            Self::Adopted => "adopted",
            Self::SignedIn => "signed_in",
            Self::NeverLeft => "never_left",
            Self::Refused => "refused",
            Self::InDoubt => "in_doubt",
            Self::TakenOver => "taken_over",
            Self::Dead => "dead",
            Self::Unsaved => "unsaved",
            Self::Saved => "saved",
            Self::StoreTrouble => "store_trouble",
            Self::Foreign => "foreign",
            Self::Cooldown => "cooldown",
            Self::Ending => "ending",
        }
    }
}

/// The latest events, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Arc<VecDeque<TokenEvent>>);

impl History {
    /// Adds what a note tells, if it is an event: `held` are the tokens in use, `by_hand` says that a person signed in.
    pub(super) fn add(&mut self, note: &Note, at: u64, held: Option<Position>, by_hand: bool) {
        let (what, why, position) = match note {
            // What comes of it is told.
            Note::Asking(..) => return,
            Note::Obtained(position, why) => (What::Obtained, Some(why.as_str()), Some(*position)),
            Note::Adopted(position) if by_hand => (What::SignedIn, None, Some(*position)),
            Note::Adopted(position) => (What::Adopted, None, Some(*position)),
            Note::NeverLeft(_) => (What::NeverLeft, None, held),
            Note::Refused(refusal) => (What::Refused, Some(refusal.about.as_str()), held),
            Note::InDoubt(_) => (What::InDoubt, None, held),
            Note::TakenOver => (What::TakenOver, None, held),
            Note::Dead(position) => (What::Dead, None, Some(*position)),
            Note::Unsaved(_) => (What::Unsaved, None, held),
            Note::Saved(position) => (What::Saved, None, Some(*position)),
            Note::StoreTrouble(_) => (What::StoreTrouble, None, held),
            Note::Foreign(position) => (What::Foreign, None, Some(*position)),
            Note::Cooldown => (What::Cooldown, None, held),
            Note::Ending(_, why) => (What::Ending, Some(why.as_str()), held),
        };
        // Copied only while somebody looks at it.
        let events = Arc::make_mut(&mut self.0);
        match events.back_mut() {
            Some(last) if (last.what, last.why, last.position) == (what, why, position) => {
                last.at = at;
                last.times = last.times.saturating_add(1);
            }
            _ => {
                if events.len() == KEPT {
                    events.pop_front();
                }
                events.push_back(TokenEvent {
                    at,
                    what,
                    why,
                    position,
                    times: 1,
                });
            }
        }
    }

    /// The events, newest first.
    pub(super) fn events(&self) -> Vec<TokenEvent> {
        self.0.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::lifecycle::Why;

    fn at(generation: u64) -> Position {
        Position { chain: 1, generation }
    }

    #[test]
    fn the_latest_are_kept_newest_first() {
        let mut history = History::default();
        for generation in 1..=100 {
            history.add(&Note::Obtained(at(generation), Why::Expiring), generation, None, false);
        }
        let events = history.events();
        assert_eq!(events.len(), KEPT);
        assert_eq!((events[0].position, events[0].why), (Some(at(100)), Some("expiring")));
        assert_eq!(events[KEPT - 1].at, 101 - KEPT as u64);
    }

    #[test]
    fn what_repeats_itself_is_one_event_and_holds_no_text() {
        let mut history = History::default();
        for now in [5, 6, 7] {
            history.add(&Note::NeverLeft("canary".into()), now, Some(at(3)), false);
            history.add(
                &Note::Asking(crate::credential::record::Kind::Refresh, Why::Expired),
                now,
                None,
                false,
            );
        }
        history.add(&Note::Adopted(at(4)), 8, Some(at(4)), true);
        let events = history.events();
        assert_eq!(events.len(), 2);
        assert_eq!((events[0].what, events[1].what), (What::SignedIn, What::NeverLeft));
        assert_eq!((events[1].times, events[1].at), (3, 7));
        assert!(!format!("{events:?}").contains("canary"));
    }
}
