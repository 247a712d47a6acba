//! Whether a person's wish for a renewal can be followed now.

use std::time::Duration;

use super::{Lifecycle, Trouble, state::Phase};
use crate::clock::{Deadline, Now};

/// Why a person's wish for a renewal is not followed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotNow {
    /// A token request is being made already: wait for what comes of it.
    UnderWay,
    /// A spend is in doubt, and its refresh token isn't sent again before that moment, or a rejection.
    InDoubt(Option<Deadline>),
    /// There is no way to tokens but a person's sign-in.
    Person(Trouble),
    /// The last request failed like this, and the next one is not made before that moment.
    BackOff(Trouble, Deadline),
    /// The API rejects fresh tokens too, and no others are asked for before that moment.
    Cooldown(Deadline),
    /// The held token is younger than `min_age`, until that moment.
    TooYoung(Deadline),
}

impl Lifecycle {
    /// Why [`Event::Forced`](super::Event::Forced) should not be told now, if it shouldn't: a wish of a person's waits
    /// for what everybody else's does.
    pub fn why_not_now(&self, now: Now) -> Option<NotNow> {
        let ahead = |until: &Deadline| !until.has_passed(now);
        match &self.phase {
            Phase::Resting => {}
            Phase::Holding { until, .. } => return Some(NotNow::InDoubt(*until)),
            _ => return Some(NotNow::UnderWay),
        }
        if !self.has_way() {
            return Some(NotNow::Person(self.dead_end()));
        }
        if let Some(pause) = self.pause.as_ref().filter(|pause| ahead(&pause.until)) {
            return Some(NotNow::BackOff(pause.trouble.clone(), pause.until));
        }
        if let Some(cooldown) = self.cooldown.as_ref().filter(|cooldown| ahead(&cooldown.until)) {
            return Some(NotNow::Cooldown(cooldown.until));
        }
        let held = self.held.as_ref().filter(|_| self.is_usable(now))?;
        let age = Duration::from_millis(now.wall.saturating_sub(held.tokens.obtained));
        let left = self.rules.policy.min_age.saturating_sub(age);
        (!left.is_zero()).then(|| NotNow::TooYoung(Deadline::after(now, left)))
    }

    /// Whether nothing is being done: what is waited for is time, a caller or a person.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Resting | Phase::Holding { .. })
    }

    /// Whether the step in hand failed on the store, and is tried again later.
    pub fn is_kept_waiting(&self, now: Now) -> bool {
        self.store_trouble.is_some() && self.again.is_some_and(|again| !again.has_passed(now))
    }

    /// Whether nobody knows what came of sending the refresh token.
    pub fn is_in_doubt(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.in_doubt) || matches!(self.phase, Phase::Holding { .. })
    }

    /// Until when the API's rejections pass through, if they do.
    pub fn cools_until(&self, now: Now) -> Option<Deadline> {
        let until = self.cooldown.as_ref()?.until;
        (!until.has_passed(now)).then_some(until)
    }

    /// When the next try is made after a failure, if somebody wants it.
    pub fn tries_at(&self, now: Now) -> Option<Deadline> {
        let until = self.pause.as_ref()?.until;
        (!until.has_passed(now)).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        clock::Clock,
        credential::{
            lifecycle::{Event, Rules},
            record::{Checked, Claim, Claimed, Committed, Id, Kind, Record},
            reply::{About, Lost, Outcome, Refusal},
            spec::{Fingerprint, Policy},
            token::{Position, Tokens},
        },
    };

    const MIN_AGE: Duration = Duration::from_secs(60);
    const LIFETIME: Duration = Duration::from_secs(600);

    fn fingerprint() -> Fingerprint {
        Fingerprint::of(["erp"])
    }

    /// A machine that has seen its empty store, and its clock.
    fn machine(can_sign_in: bool) -> (Lifecycle, Clock) {
        let clock = Clock::manual();
        let mut lifecycle = Lifecycle::new(Arc::new(Rules {
            policy: Policy {
                min_age: MIN_AGE,
                ..Policy::default()
            },
            can_refresh: true,
            can_sign_in,
            fingerprint: fingerprint(),
            seed: None,
            first_id: Id(1),
            chance: 0,
        }));
        lifecycle.handle(Event::Loaded(Ok(None)), clock.now());
        (lifecycle, clock)
    }

    fn tokens(now: Now) -> Tokens {
        Tokens {
            access: Some("a".into()),
            refresh: Some("r".into()),
            obtained: now.wall,
            expires: Some(Deadline::after(now, LIFETIME)),
            dies: None,
        }
    }

    /// What is asked for is answered like this; the claim that it was asked under.
    fn ask(lifecycle: &mut Lifecycle, on: Position, now: Now, answer: Outcome) -> Claim {
        let claim = Claim {
            id: Id(1),
            on,
            attempt: 1,
            kind: if on.chain == 0 { Kind::SignIn } else { Kind::Refresh },
            in_doubt: false,
        };
        lifecycle.handle(Event::Connected, now);
        lifecycle.handle(Event::Claimed(Ok(Claimed::Granted(claim.clone()))), now);
        // A refresh reads what it has claimed first.
        let record = Record {
            position: on,
            tokens: lifecycle.tokens().map(|tokens| (**tokens).clone()).unwrap_or_default(),
            ..Record::new(fingerprint())
        };
        lifecycle.handle(Event::Loaded(Ok(Some(Box::new(record)))), now);
        lifecycle.handle(Event::Checked(Ok(Checked::Standing(LIFETIME))), now);
        lifecycle.handle(Event::Answered(answer), now);
        claim
    }

    /// New tokens are obtained and saved.
    fn obtain(lifecycle: &mut Lifecycle, on: Position, now: Now) -> Position {
        let claim = ask(lifecycle, on, now, Outcome::Granted(tokens(now)));
        let record = Record {
            position: claim.brings(),
            tokens: tokens(now),
            ..Record::new(fingerprint())
        };
        lifecycle.handle(Event::Committed(Ok(Committed::Saved(Box::new(record)))), now);
        claim.brings()
    }

    #[test]
    fn where_nobody_but_a_person_can_sign_in_that_is_said() {
        let (lifecycle, clock) = machine(false);
        let why = lifecycle.why_not_now(clock.now());
        assert_eq!(why, Some(NotNow::Person(Trouble::NeverSignedIn)));
        assert_eq!(machine(true).0.why_not_now(clock.now()), None);
    }

    #[test]
    fn a_token_is_left_alone_until_it_is_old_enough() {
        let (mut lifecycle, clock) = machine(true);
        lifecycle.handle(Event::Wanted, clock.now());
        assert_eq!(lifecycle.why_not_now(clock.now()), Some(NotNow::UnderWay));
        obtain(&mut lifecycle, Position::default(), clock.now());
        clock.advance(MIN_AGE - Duration::from_secs(1));
        let soon = Deadline::after(clock.now(), Duration::from_secs(1));
        assert_eq!(lifecycle.why_not_now(clock.now()), Some(NotNow::TooYoung(soon)));
        clock.advance(Duration::from_secs(1));
        assert_eq!(lifecycle.why_not_now(clock.now()), None);
    }

    #[test]
    fn a_back_off_binds_a_person_too() {
        let (mut lifecycle, clock) = machine(true);
        lifecycle.handle(Event::Wanted, clock.now());
        let refusal = Refusal {
            about: About::Login,
            status: 401,
            code: None,
            text: None,
            hint: None,
            retry_after: None,
        };
        ask(
            &mut lifecycle,
            Position::default(),
            clock.now(),
            Outcome::Refused(refusal),
        );
        lifecycle.handle(Event::Released(Ok(())), clock.now());
        let Some(NotNow::BackOff(Trouble::Refused(refusal), until)) = lifecycle.why_not_now(clock.now()) else {
            panic!("{lifecycle:?}");
        };
        assert_eq!(refusal.about, About::Login);
        clock.advance(until.remaining(clock.now()));
        assert_eq!(lifecycle.why_not_now(clock.now()), None);
    }

    #[test]
    fn a_cooldown_and_a_doubt_are_waited_out() {
        let (mut lifecycle, clock) = machine(false);
        let record = Record {
            position: Position {
                chain: 1,
                generation: 0,
            },
            tokens: tokens(clock.now()),
            ..Record::new(fingerprint())
        };
        lifecycle.handle(Event::SignedIn(Box::new(record)), clock.now());
        lifecycle.handle(
            Event::Rejected(Position {
                chain: 1,
                generation: 0,
            }),
            clock.now(),
        );
        let position = obtain(
            &mut lifecycle,
            Position {
                chain: 1,
                generation: 0,
            },
            clock.now(),
        );
        // Obtained because of a rejection, and rejected too.
        lifecycle.handle(Event::Rejected(position), clock.now());
        let cools = lifecycle.cools_until(clock.now()).unwrap();
        assert_eq!(lifecycle.why_not_now(clock.now()), Some(NotNow::Cooldown(cools)));
        clock.advance(cools.remaining(clock.now()) + MIN_AGE);
        assert_eq!(
            (lifecycle.why_not_now(clock.now()), lifecycle.is_in_doubt()),
            (None, false)
        );

        lifecycle.handle(Event::Forced, clock.now());
        assert!(!lifecycle.is_at_rest());
        ask(&mut lifecycle, position, clock.now(), Outcome::Lost(Lost::NoAnswer));
        assert!(lifecycle.is_at_rest() && lifecycle.is_in_doubt());
        let expires = lifecycle.tokens().unwrap().expires;
        assert_eq!(lifecycle.why_not_now(clock.now()), Some(NotNow::InDoubt(expires)));
    }
}
