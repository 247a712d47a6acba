//! The in-doubt rule: a refresh token was sent, and nobody knows what came of it.

use super::{
    Lifecycle, Note, StoreFault, Why,
    state::{Phase, Spend},
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        record::{Claim, Claimed, Origin},
        schedule::{Severity, back_off},
        spec::OnDoubt,
    },
};

impl Lifecycle {
    pub(super) fn signs_in_on_doubt(&self) -> bool {
        let by_hand = self.held.as_ref().is_some_and(|held| held.origin == Origin::ByHand);
        self.rules.can_sign_in
            && match self.rules.policy.on_doubt {
                Some(OnDoubt::SignIn) => true,
                Some(OnDoubt::Retry) => false,
                None => !by_hand,
            }
    }

    /// The in-doubt rule: the refresh token of this claim's position was sent, and nobody knows what came of it.
    pub(super) fn resolve_doubt(&mut self, mut spend: Spend, claim: Claim, now: Now, notes: &mut Vec<Note>) {
        if self.position() != Some(claim.on) {
            // A person signed in meanwhile: what is held is not in doubt.
            return self.release(claim, None, true);
        }
        spend.in_doubt = true;
        if let Some(held) = &mut self.held {
            held.in_doubt = true;
        }
        if self.signs_in_on_doubt() {
            self.release(claim, None, true);
            self.sign_in_next(Why::InDoubt);
            return;
        }
        let wait = self
            .pause
            .as_ref()
            .map(|pause| pause.until)
            .filter(|until| !until.has_passed(now));
        let old_token_lives = self.rules.policy.grace.is_none() && self.is_usable(now);
        if old_token_lives {
            // Not before the old access token has expired or been rejected: nothing is left to lose by then.
            let expires = self.held.as_ref().and_then(|held| held.tokens.expires);
            self.hold(spend, claim, expires, now);
        } else if let Some(until) = wait {
            self.hold(spend, claim, Some(until), now);
        } else {
            notes.push(Note::Asking(spend.kind, spend.why));
            self.phase = Phase::Checking(spend, claim);
        }
    }

    pub(super) fn hold(&mut self, spend: Spend, claim: Claim, until: Option<Deadline>, now: Now) {
        self.phase = Phase::Holding {
            spend,
            claim,
            until,
            renew: Deadline::after(now, self.rules.policy.lease / 2),
            renewing: false,
        };
    }

    pub(super) fn lease_renewed(
        &mut self,
        spend: Spend,
        claim: Claim,
        until: Option<Deadline>,
        answer: Result<Claimed, StoreFault>,
        now: Now,
        notes: &mut Vec<Note>,
    ) {
        match answer {
            Ok(Claimed::Granted(_)) => self.hold(spend, claim, until, now),
            Ok(Claimed::Moved(record)) => {
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            Ok(Claimed::Held(_)) => self.phase = Phase::Loading,
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault));
                self.hold(spend, claim, until, now);
                if let Phase::Holding { renew, .. } = &mut self.phase {
                    *renew = Deadline::after(now, back_off(Severity::Trouble, 1, None, 0.0));
                }
            }
        }
    }
}
