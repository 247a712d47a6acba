//! Waiting after failures: of the token endpoint, and of the store.

use std::time::Duration;

use super::{
    Lifecycle, Note, Trouble,
    state::{Pause, Phase},
};
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

    /// Whether it waits for what another process does: a spend that stands, or a sign-in by hand.
    pub fn waits_for_others(&self) -> bool {
        matches!(self.phase, Phase::Yielding { .. }) || self.look_again.is_some()
    }

    /// Ends such a wait: the store is read next.
    pub(super) fn look_now(&mut self, now: Now) {
        if matches!(self.phase, Phase::Yielding { .. }) {
            self.again = None;
        } else if self.look_again.is_some() {
            self.look_again = Some(Deadline::after(now, Duration::ZERO));
        }
    }

    pub(super) fn store_answered(&mut self) {
        self.again = None;
        self.store_failures = 0;
        self.store_trouble = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::Clock,
        credential::{
            lifecycle::{Event, Rules, Step},
            record::{Claimed, Id},
            spec::{Fingerprint, Policy},
        },
    };

    #[test]
    fn a_hint_ends_the_wait_for_another_process() {
        let now = Clock::manual().now();
        let mut lifecycle = Lifecycle::new(Arc::new(Rules {
            policy: Policy::default(),
            can_refresh: true,
            can_sign_in: true,
            fingerprint: Fingerprint::of(["erp"]),
            seed: None,
            first_id: Id(1),
            chance: 0,
        }));
        for event in [Event::Loaded(Ok(None)), Event::Wanted, Event::Connected] {
            lifecycle.handle(event, now);
        }
        assert!(!lifecycle.waits_for_others());
        lifecycle.handle(Event::Changed, now);
        assert!(
            matches!(lifecycle.step(now), Step::Claim { .. }),
            "a hint ends nothing else"
        );

        lifecycle.handle(Event::Claimed(Ok(Claimed::Held(Duration::from_secs(60)))), now);
        assert!(lifecycle.waits_for_others());
        assert!(matches!(lifecycle.step(now), Step::Rest(Some(_))));
        lifecycle.handle(Event::Changed, now);
        assert_eq!(lifecycle.step(now), Step::Load);
    }

    #[test]
    fn a_hint_ends_the_wait_for_a_person() {
        let now = Clock::manual().now();
        let mut lifecycle = Lifecycle::new(Arc::new(Rules {
            policy: Policy::default(),
            can_refresh: true,
            can_sign_in: false,
            fingerprint: Fingerprint::of(["erp"]),
            seed: None,
            first_id: Id(1),
            chance: 0,
        }));
        for event in [Event::Loaded(Ok(None)), Event::Wanted] {
            lifecycle.handle(event, now);
        }
        assert!(lifecycle.waits_for_others());
        assert!(matches!(lifecycle.step(now), Step::Rest(Some(_))));
        lifecycle.handle(Event::Changed, now);
        assert_eq!(lifecycle.step(now), Step::Load);
    }
}
