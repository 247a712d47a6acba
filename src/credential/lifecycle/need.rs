//! Whether tokens should be asked for now, and which way: docs/protocol.md, "Time".

use super::{
    Lifecycle, Note, Why,
    state::{Phase, Spend},
    wait::LOOK_WHILE_LOGIN_REQUIRED,
};
use crate::{
    clock::{Deadline, Now},
    credential::{record::Kind, schedule},
};

/// So often a refresh is refused for a reason that is not known to be its token, before a sign-in is tried instead:
/// not all vendors say it in a way that is known.
const MOST_REFUSALS: u32 = 2;

/// The way to tokens.
pub(super) enum Way {
    Refresh,
    SignIn,
    None,
}

impl Lifecycle {
    /// Starts what is due.
    pub(super) fn settle(&mut self, now: Now, notes: &mut Vec<Note>) {
        if self.is_usable(now) {
            self.wanted = false;
        }
        match &mut self.phase {
            Phase::Resting => {}
            Phase::Holding {
                spend,
                claim,
                until,
                renew,
                renewing,
            } => {
                let free = until.is_some_and(|until| until.has_passed(now));
                if free && !*renewing {
                    let mut spend = spend.clone();
                    spend.claim = Some(claim.clone());
                    notes.push(Note::Asking(spend.kind, spend.why));
                    self.phase = Phase::Connecting(spend);
                } else if renew.has_passed(now) {
                    *renewing = true;
                }
                return;
            }
            _ => return,
        }
        let Some(why) = self.need(now) else { return };
        let kind = match self.way() {
            Way::Refresh => Kind::Refresh,
            Way::SignIn => Kind::SignIn,
            Way::None => {
                self.forced = false;
                match self.look_again {
                    Some(look) if look.has_passed(now) => self.phase = Phase::Loading,
                    Some(_) => {}
                    // Before it is said that a person is needed: at another process one may have signed in meanwhile.
                    None if self.looked_until.is_none_or(|until| until.has_passed(now)) => self.phase = Phase::Loading,
                    None => self.look_again = Some(Deadline::after(now, LOOK_WHILE_LOGIN_REQUIRED)),
                }
                return;
            }
        };
        self.start(kind, why, notes);
    }

    pub(super) fn start(&mut self, kind: Kind, why: Why, notes: &mut Vec<Note>) {
        self.forced = false;
        self.look_again = None;
        notes.push(Note::Asking(kind, why));
        let spend = Spend {
            kind,
            why,
            on: self.stored,
            claim: None,
            in_doubt: false,
            losses: 0,
        };
        self.phase = if matches!(kind, Kind::Restore(_)) {
            self.claiming(spend)
        } else {
            Phase::Connecting(spend)
        };
    }

    /// Why tokens should be asked for now, if they should.
    pub(super) fn need(&self, now: Now) -> Option<Why> {
        if self.forced {
            return Some(Why::Forced);
        }
        if self.pause.as_ref().is_some_and(|pause| !pause.until.has_passed(now)) {
            return None;
        }
        let Some(held) = &self.held else {
            return self.is_called_for().then_some(Why::None);
        };
        let is_dying = self.keep_alive_at(now).is_some_and(|at| at.has_passed(now));
        if !self.is_usable(now) {
            let why = match () {
                () if held.rejected => Why::Rejected,
                () if held.tokens.access.is_none() => Why::None,
                () => Why::Expired,
            };
            return match self.is_called_for() {
                true => Some(why),
                // An idle grant's access token has expired long before.
                false => is_dying.then_some(Why::KeepAlive),
            };
        }
        if is_dying {
            return Some(Why::KeepAlive);
        }
        let due = self.renew_at().is_some_and(|at| at.has_passed(now));
        (due && (self.used || self.rules.policy.keep_alive)).then_some(Why::Expiring)
    }

    pub(super) fn is_called_for(&self) -> bool {
        self.wanted || self.rules.policy.keep_alive || self.rules.policy.required
    }

    /// When the held tokens are renewed ahead of their expiry, if they are in use.
    pub fn renew_at(&self) -> Option<Deadline> {
        let held = self.held.as_ref()?;
        schedule::renew_at(
            &held.tokens,
            self.rules.policy.min_age,
            f64::from(self.rules.chance) / 1000.0,
        )
    }

    pub(super) fn way(&self) -> Way {
        match &self.held {
            Some(held)
                if self.rules.can_refresh
                    && held.tokens.refresh.is_some()
                    && !held.dead
                    && !((held.in_doubt || held.refusals >= MOST_REFUSALS) && self.signs_in_on_doubt()) =>
            {
                Way::Refresh
            }
            _ if self.rules.can_sign_in => Way::SignIn,
            _ => Way::None,
        }
    }

    pub(super) fn has_way(&self) -> bool {
        !matches!(self.way(), Way::None)
    }

    /// Whether nothing will be done before somebody uses the token or asks for one, whatever the time. An idle
    /// subject's owner needs no timer then.
    pub fn waits_for_use(&self, now: Now) -> bool {
        matches!(self.phase, Phase::Resting)
            && self.is_usable(now)
            && !(self.wanted || self.used || self.forced)
            && !(self.rules.policy.keep_alive || self.rules.policy.required)
            && self.pause.is_none()
            && self.keep_alive_at(now).is_none()
    }

    /// When resting ends by itself.
    pub(super) fn wake(&self, now: Now) -> Option<Deadline> {
        let holding = match &self.phase {
            Phase::Holding { until, renew, .. } => [*until, Some(*renew)],
            _ => [None, None],
        };
        let held = self.held.as_ref();
        [
            self.pause.as_ref().map(|pause| pause.until),
            self.look_again,
            self.keep_alive_at(now),
            self.tells_at(now),
            self.renew_at(),
            held.and_then(|held| held.tokens.expires),
        ]
        .into_iter()
        .chain(holding)
        .flatten()
        .filter(|at| !at.has_passed(now))
        .min_by_key(|at| at.remaining(now))
    }
}
