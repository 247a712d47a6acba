//! How a claim ends: saved, released, or with a dead chain.

use std::sync::Arc;

use super::{
    Lifecycle, Note, StoreFault, Trouble, Why,
    state::{Held, Phase, Spend},
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        record::{BackOff, Claim, Committed, Kind, MarkedDead, Origin},
        schedule::{Severity, back_off},
        token::Tokens,
    },
};

/// After so many failed releases the lease is left to run out by itself.
const RELEASE_TRIES: u32 = 5;

impl Lifecycle {
    pub(super) fn release(&mut self, claim: Claim, back_off: Option<BackOff>, in_doubt: bool) {
        self.phase = Phase::Releasing {
            claim,
            back_off,
            in_doubt,
            then_sign_in: None,
        };
    }

    /// What follows the release under way is a sign-in, back-off or not.
    pub(super) fn sign_in_next(&mut self, why: Why) {
        if let Phase::Releasing { then_sign_in, .. } = &mut self.phase {
            *then_sign_in = Some(why);
        }
    }

    pub(super) fn released(&mut self, answer: Result<(), StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Releasing {
            claim, then_sign_in, ..
        } = self.phase.clone()
        else {
            return;
        };
        if answer.is_err() && self.store_failures < RELEASE_TRIES {
            self.store_failures += 1;
            self.again = Some(Deadline::after(
                now,
                back_off(Severity::Trouble, self.store_failures, None, 0.0),
            ));
            return;
        }
        self.store_answered();
        self.phase = Phase::Resting;
        // A person who signed in meanwhile has resolved the doubt.
        if let Some(why) = then_sign_in.filter(|_| self.stored == claim.on) {
            self.start(Kind::SignIn, why, notes);
        }
    }

    pub(super) fn marked_dead(&mut self, answer: Result<MarkedDead, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        match answer {
            Ok(MarkedDead::Dead(record)) => {
                self.store_answered();
                self.pause = None;
                self.phase = Phase::Resting;
                notes.push(Note::Dead(record.position));
                self.adopt(Some(record), now, notes);
            }
            Ok(MarkedDead::Moved(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                self.adopt(record, now, notes);
            }
            Err(fault) => self.store_failed(fault, now, notes),
        }
    }

    pub(super) fn committed(&mut self, answer: Result<Committed, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Committing { spend, claim, tokens } = self.phase.clone() else {
            return;
        };
        let was_published = self.held.as_ref().is_some_and(|held| !held.saved);
        match answer {
            Ok(Committed::Saved(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                // A success that brings no access token is a failure all the same, and counts with those before it.
                let failures = self.pause.take().filter(|_| tokens.access.is_none());
                let position = record.position;
                notes.push(match (was_published, spend.kind) {
                    (true, _) | (_, Kind::Restore(_)) => Note::Saved(position),
                    _ => Note::Obtained(position, spend.why),
                });
                let on_trial = match (was_published, &self.held) {
                    (true, Some(held)) => held.on_trial,
                    _ => spend.why == Why::Rejected,
                };
                let rejected = self
                    .held
                    .as_ref()
                    .is_some_and(|held| held.position == position && held.rejected);
                self.adopt(Some(record), now, &mut Vec::new());
                if let Some(held) = self.held.as_mut().filter(|held| held.position == position) {
                    held.on_trial = on_trial;
                    held.adopted = false;
                    held.rejected = rejected;
                }
                if tokens.access.is_none() {
                    self.pause = failures;
                    self.pause(Severity::Trouble, Trouble::NoAccessToken, None, now);
                }
            }
            Ok(Committed::Superseded(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                // Ours is void; whatever is saved is newer.
                if self.held.as_ref().is_some_and(|held| !held.saved) {
                    self.held = None;
                }
                self.adopt(Some(record), now, notes);
            }
            Err(fault) => {
                self.store_failures += 1;
                let wait = back_off(Severity::Trouble, self.store_failures, None, 0.0);
                self.again = Some(Deadline::after(now, wait));
                // A person may have signed in meanwhile, and that is newer.
                let is_newer = self.position() < Some(claim.brings());
                self.store_trouble = Some(fault.clone());
                if !was_published && is_newer && !matches!(spend.kind, Kind::Restore(_)) {
                    notes.push(Note::Unsaved(fault));
                    self.publish_unsaved(&spend, &claim, tokens);
                }
            }
        }
    }

    /// Law 3: after a spend, tokens that can't be saved are used all the same.
    pub(super) fn publish_unsaved(&mut self, spend: &Spend, claim: &Claim, tokens: Arc<Tokens>) {
        let position = claim.brings();
        self.pause = None;
        self.used = false;
        let (fixed, told) = self.end_so_far(position, &tokens);
        self.held = Some(Held {
            position,
            begun_by: self.held.as_ref().map_or_else(Vec::new, |held| held.begun_by.clone()),
            origin: match (spend.kind, &self.held) {
                (Kind::Refresh, Some(held)) => held.origin,
                _ => Origin::SignIn,
            },
            tokens,
            dead: false,
            in_doubt: false,
            refusals: 0,
            saved: false,
            rejected: false,
            on_trial: spend.why == Why::Rejected,
            adopted: false,
            fixed,
            told,
            looked: 0,
        });
    }
}
