//! Taking over what the store has.

use std::{sync::Arc, time::Duration};

use super::{
    Lifecycle, Note, StoreFault, Trouble, Why,
    state::{Held, Pause, Phase},
    wait::{LOOK_WHILE_LOGIN_REQUIRED, LOOK_WHILE_YIELDING},
};
use crate::{
    clock::{Deadline, Now},
    credential::{
        record::{Kind, Origin, Record, Seeded, State},
        schedule::Severity,
        token::Position,
    },
};

/// A stored back-off binds a newly started process for this long at most: its operator may have mended the cause.
const STARTING_BACK_OFF: Duration = Duration::from_secs(60);

impl Lifecycle {
    pub(super) fn loaded(&mut self, answer: Result<Option<Box<Record>>, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        if let Phase::Reading(spend, claim) = self.phase.clone() {
            return self.read(spend, claim, answer, now, notes);
        }
        let record = match answer {
            Ok(record) => record,
            Err(fault) => return self.store_failed(fault, now, notes),
        };
        self.store_answered();
        if let Phase::Yielding { until } = self.phase {
            let stands = record
                .as_ref()
                .is_some_and(|record| record.claim.is_some() && record.position == self.stored);
            if stands && !until.has_passed(now) {
                self.again = Some(Deadline::after(now, LOOK_WHILE_YIELDING));
                return;
            }
        } else if !matches!(self.phase, Phase::Loading) {
            return;
        }
        let unseen = self
            .rules
            .seed
            .as_ref()
            .is_some_and(|(hash, _)| record.as_ref().is_none_or(|record| !record.seeds.contains(hash)));
        self.look_again = None;
        self.phase = Phase::Resting;
        if unseen {
            let id = self.draw_id();
            self.phase = Phase::Seeding { id };
        } else {
            self.adopt(record, now, notes);
        }
        // Where there is a way to tokens, nothing depends on it.
        self.looked_until = (!self.has_way()).then(|| Deadline::after(now, LOOK_WHILE_LOGIN_REQUIRED));
    }

    pub(super) fn seeded(&mut self, answer: Result<Seeded, StoreFault>, now: Now, notes: &mut Vec<Note>) {
        match answer {
            Ok(Seeded::Replaced(record) | Seeded::Seen(record)) => {
                self.store_answered();
                self.phase = Phase::Resting;
                self.adopt(Some(record), now, notes);
            }
            Err(fault) => self.store_failed(fault, now, notes),
        }
    }

    /// Takes over what the store has, unless this process holds something newer: then that is saved again.
    pub(super) fn adopt(&mut self, record: Option<Box<Record>>, now: Now, notes: &mut Vec<Note>) {
        let is_first = self.held.is_none() && self.stored == Position::default();
        self.stored = record.as_ref().map_or(Position::default(), |record| record.position);
        if let Some(held) = &self.held
            && self.stored < held.position
        {
            // Not even what a store lost is worth more than a person's sign-in since.
            let is_newer_by_hand = record.as_ref().is_some_and(|record| {
                record.origin == Origin::ByHand && record.begun_by.last().is_some_and(|id| !held.begun_by.contains(id))
            });
            // Nor is a chain that is dead, where there is another that lives.
            let is_alive = held.dead
                && record.as_ref().is_some_and(|record| {
                    let Position { chain, .. } = record.position;
                    record.state == State::Live && chain > 0 && chain != held.position.chain
                });
            if !is_newer_by_hand && !is_alive {
                // A refused refresh token is not brought back to life.
                if matches!(self.phase, Phase::Resting) && !held.dead {
                    self.start(Kind::Restore(held.position), Why::Restore, notes);
                }
                return;
            }
            self.held = None;
        }
        let Some(record) = record else { return };
        if let Some(back_off) = record.back_off.filter(|back_off| !back_off.until.has_passed(now))
            && self.pause.is_none()
        {
            let until = if is_first && back_off.until.remaining(now) > STARTING_BACK_OFF {
                Deadline::after(now, STARTING_BACK_OFF)
            } else {
                back_off.until
            };
            self.pause = Some(Pause {
                until,
                failures: back_off.failures,
                severity: Severity::Refused,
                trouble: Trouble::RefusedElsewhere,
            });
        }
        self.foreign = record.position.chain > 0 && record.fingerprint != self.rules.fingerprint;
        if self.foreign {
            notes.push(Note::Foreign(record.position));
            // What this process holds is its own; it ends with its access token.
            if let Some(held) = &mut self.held {
                held.dead = true;
            }
            return;
        }
        if record.position.chain == 0 {
            return;
        }
        let dead = record.state == State::Dead;
        match &mut self.held {
            Some(held) if held.position == record.position && *held.tokens == record.tokens => {
                held.dead = dead;
                held.saved = true;
                held.in_doubt = record.doubt;
            }
            _ => {
                notes.push(Note::Adopted(record.position));
                self.used = false;
                self.look_again = None;
                self.looked_until = None;
                if record.back_off.is_none() {
                    self.pause = None;
                }
                let (fixed, told) = self.end_so_far(record.position, &record.tokens);
                self.held = Some(Held {
                    position: record.position,
                    begun_by: record.begun_by,
                    origin: record.origin,
                    tokens: Arc::new(record.tokens),
                    dead,
                    in_doubt: record.doubt,
                    refusals: 0,
                    saved: true,
                    rejected: false,
                    on_trial: false,
                    adopted: true,
                    fixed,
                    told,
                    looked: 0,
                });
            }
        }
    }
}
