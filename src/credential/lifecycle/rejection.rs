//! The API rejects an access token, or accepts it: law 6.

use std::time::Duration;

use super::{
    Lifecycle, Note,
    state::{Cooldown, Phase},
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        schedule::{Severity, back_off},
        token::Position,
    },
};

/// So many renewals within [`REJECTIONS_WINDOW`] are made because of rejections; more start a cooldown, whatever
/// was accepted in between: requests that can't be sent again, to a path that rejects always, would be a treadmill.
const MOST_REJECTIONS: u32 = 30;
const REJECTIONS_WINDOW: Duration = Duration::from_secs(60);

impl Lifecycle {
    /// `again` says that the request had been rejected before, with the token that this one replaced.
    pub(super) fn rejected(&mut self, position: Position, again: bool, now: Now, notes: &mut Vec<Note>) {
        let cooling = self
            .cooldown
            .as_ref()
            .is_some_and(|cooldown| !cooldown.until.has_passed(now));
        let Some(held) = self
            .held
            .as_mut()
            .filter(|held| held.position == position && !held.rejected)
        else {
            return;
        };
        if cooling {
            return;
        }
        let burst = match &self.burst {
            Some((count, until)) if !until.has_passed(now) => (count + 1, *until),
            _ => (1, Deadline::after(now, REJECTIONS_WINDOW)),
        };
        // What another process obtained may be as old as the token before it.
        if (again && !held.adopted) || held.on_trial || burst.0 > MOST_REJECTIONS {
            held.on_trial = false;
            let before = self.cooldown.as_ref().filter(|cooldown| !cooldown.accepted);
            let failures = before.map_or(0, |cooldown| cooldown.failures) + 1;
            self.cooldown = Some(Cooldown {
                until: Deadline::after(now, back_off(Severity::Rejected, failures, None, 0.0)),
                failures,
                accepted: false,
            });
            notes.push(Note::Cooldown);
            return;
        }
        self.burst = Some(burst);
        held.rejected = true;
        // Nothing of the old token is left to lose: a spend in doubt may be sent again, once before its back-off.
        if let Phase::Holding { until, .. } = &mut self.phase {
            *until = Some(Deadline::after(now, Duration::ZERO));
        }
        // The rejection's own caller waits for what comes next, also where that is bad news.
        self.wanted = true;
    }

    pub(super) fn accepted(&mut self, position: Position) {
        if let Some(held) = self.held.as_mut().filter(|held| held.position == position) {
            held.on_trial = false;
            if let Some(cooldown) = &mut self.cooldown {
                cooldown.accepted = true;
            }
        }
    }
}
