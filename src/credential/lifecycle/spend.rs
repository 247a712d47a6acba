//! A token request, from the connection to its answer: docs/protocol.md, "A spend" and "What may come back".

use std::sync::Arc;

use super::{
    Lifecycle, Note, StoreFault, Trouble, Why,
    need::Way,
    state::{Phase, Spend},
    wait::LOOK_WHILE_YIELDING,
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        record::{Checked, Claim, Claimed, Id, Kind, Record},
        reply::{About, Lost, Outcome},
        schedule::Severity,
        token::Tokens,
    },
};

impl Lifecycle {
    pub(super) fn connected(&mut self) {
        if let Phase::Connecting(spend) = self.phase.clone() {
            self.phase = match spend.claim.clone() {
                Some(claim) => Phase::Checking(spend, claim),
                // A person signed in meanwhile: what was missing is there, or is asked for anew.
                None if spend.on != self.stored => Phase::Resting,
                None => self.claiming(spend),
            };
        }
    }

    /// Claims with a fresh id, or with the one whose answer was lost.
    pub(super) fn claiming(&mut self, spend: Spend) -> Phase {
        let (on, kind) = (self.stored, spend.kind);
        if spend.claim.is_none()
            && self
                .unanswered
                .is_none_or(|(_, was_on, was)| (was_on, was) != (on, kind))
        {
            self.unanswered = Some((self.draw_id(), on, kind));
        }
        Phase::Claiming(spend)
    }

    pub(super) fn draw_id(&mut self) -> Id {
        let id = self.next_id;
        self.next_id = Id(id.0.wrapping_add(1));
        id
    }

    pub(super) fn never_left(&mut self, why: String, now: Now, notes: &mut Vec<Note>) {
        notes.push(Note::NeverLeft(why.clone()));
        let back_off = self.pause(Severity::Trouble, Trouble::Unreachable(why), None, now);
        match self.phase.clone() {
            Phase::Connecting(spend) => match spend.claim.clone() {
                Some(claim) => self.hold(spend, claim, Some(back_off.until), now),
                None => self.phase = Phase::Resting,
            },
            Phase::Sending(spend, claim, _) if spend.in_doubt => self.hold(spend, claim, Some(back_off.until), now),
            Phase::Sending(_, claim, _) => self.release(claim, Some(back_off), false),
            _ => {}
        }
    }

    pub(super) fn claimed(&mut self, answer: Result<Claimed, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let spend = match self.phase.clone() {
            Phase::Claiming(spend) => spend,
            Phase::Holding {
                spend, claim, until, ..
            } => return self.lease_renewed(spend, claim, until, answer, now, notes),
            _ => return,
        };
        match answer {
            Ok(Claimed::Granted(claim)) => {
                self.store_answered();
                self.unanswered = None;
                match spend.kind {
                    Kind::Restore(_) => match &self.held {
                        Some(held) => {
                            let tokens = held.tokens.clone();
                            self.phase = Phase::Committing { spend, claim, tokens };
                        }
                        None => self.release(claim, None, false),
                    },
                    Kind::Refresh if spend.claim.is_none() => self.phase = Phase::Reading(spend, claim),
                    Kind::Refresh | Kind::SignIn => self.phase = Phase::Checking(spend, claim),
                }
            }
            Ok(Claimed::Held(remaining)) => {
                self.store_answered();
                self.unanswered = None;
                let until = Deadline::after(now, remaining);
                self.again = Some(Deadline::after(now, remaining.min(LOOK_WHILE_YIELDING)));
                self.phase = Phase::Yielding { until };
            }
            Ok(Claimed::Moved(record)) => {
                self.store_answered();
                self.unanswered = None;
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            // No claim, no spend.
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault.clone()));
                self.pause(Severity::Trouble, Trouble::Store(fault), None, now);
                self.phase = Phase::Resting;
            }
        }
    }

    /// The record, read under the claim on it: while that stands, nobody else's reply replaces its tokens unnoticed.
    pub(super) fn read(
        &mut self,
        spend: Spend,
        claim: Claim,
        answer: Result<Option<Box<Record>>, StoreFault>,
        now: Now,
        notes: &mut Vec<Note>,
    ) {
        match answer {
            Ok(record) => {
                self.store_answered();
                let is_other = |record: &Record| {
                    record.position == claim.on && self.held.as_ref().is_none_or(|held| *held.tokens != record.tokens)
                };
                if let Some(record) = record.filter(|record| is_other(record)) {
                    self.adopt(Some(record), now, notes);
                }
                if claim.in_doubt {
                    notes.push(Note::TakenOver);
                    self.resolve_doubt(spend, claim, now, notes);
                } else {
                    self.phase = Phase::Checking(spend, claim);
                }
            }
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault.clone()));
                self.pause(Severity::Trouble, Trouble::Store(fault), None, now);
                self.release(claim, None, false);
            }
        }
    }

    pub(super) fn checked(&mut self, answer: Result<Checked, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        let Phase::Checking(spend, claim) = self.phase.clone() else {
            return;
        };
        match answer {
            // A person signed in meanwhile: what is held is not what was claimed.
            Ok(Checked::Standing(_)) if spend.kind == Kind::Refresh && self.position() != Some(claim.on) => {
                self.release(claim, None, spend.in_doubt);
            }
            Ok(Checked::Standing(_)) => {
                let held = self.held.as_ref().map(|held| held.tokens.clone());
                self.phase = Phase::Sending(spend, claim, held);
            }
            Ok(Checked::Moved(Some(record)))
                if record.claim.as_ref().is_some_and(|standing| standing.id == claim.id) =>
            {
                // It stands, for too short a time: asking again renews its lease.
                self.unanswered = None;
                self.phase = Phase::Claiming(Spend {
                    claim: Some(claim),
                    ..spend
                });
            }
            Ok(Checked::Moved(record)) => {
                self.phase = Phase::Resting;
                self.adopt(record, now, notes);
            }
            Err(fault) => {
                notes.push(Note::StoreTrouble(fault.clone()));
                let back_off = self.pause(Severity::Trouble, Trouble::Store(fault), None, now);
                if spend.in_doubt {
                    self.hold(spend, claim, Some(back_off.until), now);
                } else {
                    self.release(claim, None, false);
                }
            }
        }
    }

    pub(super) fn answered(&mut self, outcome: Outcome, now: Now, notes: &mut Vec<Note>) {
        let Phase::Sending(mut spend, claim, sent) = self.phase.clone() else {
            return;
        };
        match outcome {
            Outcome::Granted(tokens) => {
                let tokens = Arc::new(self.complete(tokens, spend.kind, sent.as_deref(), now));
                self.phase = Phase::Committing { spend, claim, tokens };
            }
            Outcome::Refused(refusal) => {
                notes.push(Note::Refused(refusal.clone()));
                if spend.kind == Kind::Refresh && refusal.about == About::RefreshToken {
                    self.phase = Phase::MarkingDead { claim };
                    return;
                }
                let severity = match refusal.about {
                    About::Login => Severity::Login,
                    About::Rate => Severity::Trouble,
                    About::RefreshToken | About::Subject | About::Client | About::Request => Severity::Refused,
                };
                if let Some(held) = &mut self.held
                    && spend.kind == Kind::Refresh
                    && refusal.about == About::Request
                {
                    held.refusals += 1;
                }
                let retry_after = refusal.retry_after;
                let back_off = self.pause(severity, Trouble::Refused(refusal), retry_after, now);
                self.release(claim, Some(back_off), spend.in_doubt);
                if spend.kind == Kind::Refresh && matches!(self.way(), Way::SignIn) {
                    self.sign_in_next(Why::Refused);
                }
            }
            Outcome::Done => self.lost(&mut spend, claim, Lost::NoToken, now, notes),
            Outcome::Lost(lost) => self.lost(&mut spend, claim, lost, now, notes),
        }
    }

    pub(super) fn lost(&mut self, spend: &mut Spend, claim: Claim, lost: Lost, now: Now, notes: &mut Vec<Note>) {
        notes.push(Note::InDoubt(lost.clone()));
        let back_off = self.pause(Severity::Trouble, Trouble::Lost(lost), None, now);
        if spend.kind == Kind::Refresh {
            spend.losses += 1;
            self.resolve_doubt(spend.clone(), claim, now, notes);
        } else {
            // A lost sign-in spends nothing.
            self.release(claim, Some(back_off), false);
        }
    }

    /// What a reply to these tokens leaves unsaid.
    pub(super) fn complete(&self, mut tokens: Tokens, kind: Kind, sent: Option<&Tokens>, now: Now) -> Tokens {
        let policy = &self.rules.policy;
        let mut kept_until = None;
        if tokens.expires.is_none() {
            tokens.expires = policy.assume_lifetime.map(|lifetime| Deadline::after(now, lifetime));
        }
        if kind == Kind::Refresh
            && tokens.refresh.is_none()
            && !policy.single_use
            && let Some(sent) = sent
        {
            tokens.refresh = sent.refresh.clone();
            // It is the same one, and dies when it was said to.
            kept_until = sent.dies;
        }
        if tokens.dies.is_none() && tokens.refresh.is_some() {
            let lifetime = policy.refresh_lifetime;
            tokens.dies = lifetime.map(|lifetime| Deadline::after(now, lifetime)).or(kept_until);
        }
        tokens
    }
}
