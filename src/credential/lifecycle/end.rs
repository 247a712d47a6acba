//! When a grant ends, so that a person has to sign in again, and telling of it ahead.

use std::time::Duration;

use super::{
    Lifecycle, Note,
    need::Way,
    state::{Held, Phase},
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        schedule,
        token::{Position, Tokens},
    },
};

const HOUR: Duration = Duration::from_secs(3600);
/// How long before an end that no renewal prevents it is told: time to find the person who signs in.
const AHEAD: [Duration; 3] = [HOUR.saturating_mul(7 * 24), HOUR.saturating_mul(24), HOUR];
/// A grant that a renewal would prolong is told of in the last twentieth of its life: what keeps it alive has had its
/// chance by then, at nine tenths.
const LATE: u32 = 20;

/// Why a grant ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// Its refresh token dies unused: a renewal before would prolong it.
    Unused,
    /// The provider has set its end: renewals don't prolong it.
    Fixed,
    /// It can't be renewed, and ends with its access token.
    Last,
}

impl Ending {
    /// A fixed word, for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Fixed => "fixed",
            Self::Last => "last",
        }
    }
}

impl Lifecycle {
    /// When a person has to sign in again unless the grant is renewed before; `None` where nothing says so, or where
    /// nobody is needed.
    pub fn ends(&self, now: Now) -> Option<Deadline> {
        self.end(now).map(|(at, _)| at)
    }

    /// The end of a grant, once it is near enough to have been told.
    pub fn near_end(&self, now: Now) -> Option<(Deadline, Ending)> {
        self.held.as_ref().filter(|held| held.told > 0)?;
        self.end(now)
    }

    fn end(&self, now: Now) -> Option<(Deadline, Ending)> {
        let held = self.held.as_ref().filter(|_| !self.rules.can_sign_in)?;
        match self.way() {
            Way::Refresh => {
                let why = if held.fixed { Ending::Fixed } else { Ending::Unused };
                Some((self.dies(held, now)?, why))
            }
            _ => Some((held.tokens.expires?, Ending::Last)),
        }
    }

    /// When its refresh token dies unused. One of before the config knew of a lifetime, or given in it, has lived
    /// since it was obtained.
    fn dies(&self, held: &Held, now: Now) -> Option<Deadline> {
        held.tokens.dies.or_else(|| {
            let lifetime = self.rules.policy.refresh_lifetime?;
            held.tokens.refresh.as_ref()?;
            let age = Duration::from_millis(now.wall.saturating_sub(held.tokens.obtained));
            Some(Deadline::after(now, lifetime.saturating_sub(age)))
        })
    }

    /// When an idle grant is renewed, so that its refresh token doesn't die unused.
    pub(super) fn keep_alive_at(&self, now: Now) -> Option<Deadline> {
        let policy = &self.rules.policy;
        let held = self
            .held
            .as_ref()
            .filter(|held| self.rules.can_refresh && held.tokens.refresh.is_some() && !held.dead && !held.fixed)?;
        let is_kept = policy.keep_alive || policy.refresh_lifetime.is_some();
        let dies = self.dies(held, now).filter(|_| is_kept)?;
        Some(schedule::keep_alive_at(dies, held.tokens.obtained))
    }

    /// Notes an end that has come near: once for each span of [`AHEAD`], once in the last part of a life.
    pub(super) fn tell_of_end(&mut self, now: Now, notes: &mut Vec<Note>) {
        // What is under way may prolong it.
        if !matches!(self.phase, Phase::Resting | Phase::Holding { .. }) {
            return;
        }
        let Some((at, why)) = self.end(now).filter(|(at, _)| !at.has_passed(now)) else {
            return;
        };
        let near = self
            .spans(at, why)
            .iter()
            .filter(|span| at.remaining(now) <= **span)
            .count();
        let is_resting = matches!(self.phase, Phase::Resting);
        let Some(held) = self.held.as_mut().filter(|held| near > held.told) else {
            return;
        };
        if is_resting && near > held.looked {
            // Whoever uses it may be another process, which renews it.
            held.looked = near;
            self.phase = Phase::Loading;
            return;
        }
        held.told = near;
        notes.push(Note::Ending(at, why));
    }

    /// When there will be something to tell, and when it ends.
    pub(super) fn tells_at(&self, now: Now) -> Option<Deadline> {
        let (at, why) = self.end(now)?;
        let ahead = self.spans(at, why).into_iter().map(|span| at.earlier(span));
        ahead
            .chain([at])
            .filter(|at| !at.has_passed(now))
            .min_by_key(|at| at.remaining(now))
    }

    /// What is known of the end of a grant whose tokens are about to be held: whether it is fixed, and how often it was
    /// told.
    pub(super) fn end_so_far(&self, position: Position, tokens: &Tokens) -> (bool, usize) {
        let same_chain = |held: &&Held| held.position.chain == position.chain;
        let Some(held) = self.held.as_ref().filter(same_chain) else {
            return (false, 0);
        };
        let fixed = schedule::prolonged(&held.tokens, tokens).map_or(held.fixed, |prolonged| !prolonged);
        (fixed, if fixed && held.fixed { held.told } else { 0 })
    }

    fn spans(&self, at: Deadline, why: Ending) -> Vec<Duration> {
        let obtained = self.held.as_ref().map_or(0, |held| held.tokens.obtained);
        match why {
            Ending::Unused => vec![Duration::from_millis(at.wall().saturating_sub(obtained)) / LATE],
            Ending::Fixed | Ending::Last => AHEAD.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests;
