//! Waiting after failures: of the token endpoint, and of the store.

use std::time::Duration;

use super::{Lifecycle, Note, Trouble, state::Pause};
use crate::{
    clock::{Deadline, Now},
    credential::{
        record::BackOff,
        schedule::{Severity, back_off},
    },
};

/// How often the store is asked whether another process's spend is done.
pub(super) const LOOK_WHILE_YIELDING: Duration = Duration::from_millis(200);
/// How often the store is asked for a sign-in by hand while a person is needed.
pub(super) const LOOK_WHILE_LOGIN_REQUIRED: Duration = Duration::from_secs(5);

impl Lifecycle {
    pub(super) fn pause(
        &mut self,
        severity: Severity,
        trouble: Trouble,
        retry_after: Option<Duration>,
        now: Now,
    ) -> BackOff {
        let failures = match &self.pause {
            Some(pause) if pause.severity == severity => pause.failures + 1,
            _ => 1,
        };
        let chance = f64::from(self.rules.chance) / 1000.0;
        let until = Deadline::after(now, back_off(severity, failures, retry_after, chance));
        // Who still waits says so again; nobody else's wish keeps a failing endpoint busy.
        self.wanted = false;
        self.pause = Some(Pause {
            until,
            failures,
            severity,
            trouble,
        });
        BackOff { until, failures }
    }

    pub(super) fn store_failed(&mut self, fault: String, now: Now, notes: &mut Vec<Note>) {
        if self.store_failures == 0 {
            notes.push(Note::StoreTrouble(fault.clone()));
        }
        self.store_failures += 1;
        let wait = back_off(Severity::Trouble, self.store_failures, None, 0.0);
        self.again = Some(Deadline::after(now, wait));
        self.store_trouble = Some(fault);
    }

    pub(super) fn store_answered(&mut self) {
        self.again = None;
        self.store_failures = 0;
        self.store_trouble = None;
    }
}
