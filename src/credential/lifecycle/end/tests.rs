use std::sync::Arc;

use super::*;
use crate::{
    clock::Clock,
    credential::{
        lifecycle::{Event, Rules, Step, Why},
        record::{Id, Kind, Origin, Record},
        spec::{Fingerprint, Policy},
    },
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Something, after how long.
type After<T> = (Duration, T);

/// A machine, and the time that goes by for it.
struct Life {
    clock: Clock,
    machine: Lifecycle,
    /// What the store has.
    stored: Option<Box<Record>>,
}

impl Life {
    fn new(can_sign_in: bool, policy: Policy) -> Self {
        let rules = Rules {
            policy,
            can_refresh: true,
            can_sign_in,
            fingerprint: Fingerprint::of(["test"]),
            seed: None,
            first_id: Id(1),
            chance: 0,
        };
        Self {
            clock: Clock::manual(),
            machine: Lifecycle::new(Arc::new(rules)),
            stored: None,
        }
    }

    /// Stores tokens of this generation, whose access token lives for an hour, and whose grant dies after `life`.
    fn store(&mut self, generation: u64, refresh: Option<&str>, life: Option<Duration>) -> Box<Record> {
        let now = self.clock.now();
        let mut record = Record::new(Fingerprint::of(["test"]));
        record.position = Position { chain: 1, generation };
        record.origin = Origin::ByHand;
        record.tokens = Tokens {
            access: Some("a".into()),
            refresh: refresh.map(Into::into),
            obtained: now.wall,
            expires: Some(Deadline::after(now, HOUR)),
            dies: life.map(|life| Deadline::after(now, life)),
        };
        self.stored.insert(Box::new(record)).clone()
    }

    /// Stores them, and tells the machine.
    fn adopt(&mut self, generation: u64, refresh: Option<&str>, life: Option<Duration>) -> Vec<Note> {
        let record = self.store(generation, refresh, life);
        let mut notes = self.machine.handle(Event::SignedIn(record), self.clock.now());
        notes.extend(self.look());
        notes.retain(|note| !matches!(note, Note::Adopted(_)));
        notes
    }

    /// Answers what it asks the store.
    fn look(&mut self) -> Vec<Note> {
        let now = self.clock.now();
        let mut notes = Vec::new();
        while matches!(self.machine.step(now), Step::Load) {
            notes.extend(self.machine.handle(Event::Loaded(Ok(self.stored.clone())), now));
        }
        notes
    }

    /// Lets its timers run, idle, for so long: what it told after how long, and what it asked for, which ends it.
    fn idle(&mut self, span: Duration) -> (Vec<After<Ending>>, Option<After<Why>>) {
        let start = self.clock.now();
        let end = Deadline::after(start, span);
        let mut told = Vec::new();
        for _ in 0..100 {
            let now = self.clock.now();
            let elapsed = span - end.remaining(now);
            let Step::Rest(wake) = self.machine.step(now) else {
                panic!("it does more than rest");
            };
            let left = end.remaining(now);
            let wait = wake.map_or(left, |wake| wake.remaining(now).min(left));
            if left.is_zero() {
                return (told, None);
            }
            self.clock.advance(wait.max(Duration::from_millis(1)));
            let mut notes = self.machine.handle(Event::Tick, self.clock.now());
            notes.extend(self.look());
            for note in notes {
                match note {
                    Note::Adopted(_) => {}
                    Note::Ending(_, why) => told.push((elapsed + wait, why)),
                    Note::Asking(Kind::Refresh, why) => return (told, Some((elapsed + wait, why))),
                    note => panic!("{note:?}"),
                }
            }
        }
        panic!("it never rests");
    }
}

#[test]
fn an_idle_grant_is_renewed_before_it_dies_though_its_access_token_has_long_expired() {
    let kept = Policy {
        refresh_lifetime: Some(DAY * 30),
        ..Policy::default()
    };
    // Whether the lifetime was known when the tokens came, or not: they may be older than the setting.
    for dies in [Some(DAY * 30), None] {
        let mut life = Life::new(false, kept.clone());
        assert_eq!(life.adopt(1, Some("r"), dies), []);
        assert_eq!(life.idle(DAY * 40), (vec![], Some((DAY * 27, Why::KeepAlive))));
    }
}

#[test]
fn a_grant_that_nothing_renews_is_told_of_once_near_its_end() {
    let mut life = Life::new(false, Policy::default());
    assert_eq!(life.adopt(1, Some("r"), Some(DAY * 20)), []);
    assert_eq!(life.machine.near_end(life.clock.now()), None);
    assert_eq!(life.idle(DAY * 40), (vec![(DAY * 19, Ending::Unused)], None));
    // Tokens of another process, and all is well.
    assert_eq!(life.adopt(2, Some("s"), Some(DAY * 20)), []);
    assert_eq!(life.machine.near_end(life.clock.now()), None);
    assert_eq!(life.idle(DAY * 18), (vec![], None));
}

#[test]
fn nobody_is_told_of_an_end_that_another_process_has_put_off() {
    let mut life = Life::new(false, Policy::default());
    life.adopt(1, Some("r"), Some(DAY * 20));
    assert_eq!(life.idle(DAY * 18), (vec![], None));
    life.store(2, Some("s"), Some(DAY * 20));
    assert_eq!(life.idle(DAY * 10), (vec![], None));
    assert_eq!(
        life.machine
            .ends(life.clock.now())
            .map(|at| at.remaining(life.clock.now())),
        Some(DAY * 10)
    );
}

#[test]
fn a_life_that_was_made_shorter_is_no_fixed_end() {
    let kept = Policy {
        refresh_lifetime: Some(DAY * 30),
        ..Policy::default()
    };
    let mut life = Life::new(false, kept);
    life.adopt(1, Some("r"), Some(DAY * 90));
    assert_eq!(life.idle(DAY), (vec![], None));
    life.adopt(2, Some("s"), Some(DAY * 30));
    assert_eq!(life.idle(DAY * 40), (vec![], Some((DAY * 27, Why::KeepAlive))));
}

#[test]
fn an_end_that_renewals_do_not_put_off_is_told_three_times_and_not_renewed_for() {
    let kept = Policy {
        refresh_lifetime: Some(DAY * 30),
        ..Policy::default()
    };
    let mut life = Life::new(false, kept);
    life.adopt(1, Some("r"), Some(DAY * 30));
    assert_eq!(life.idle(DAY * 10), (vec![], None));
    life.adopt(2, Some("s"), Some(DAY * 20));
    let told = [DAY * 13, DAY * 19, DAY * 20 - HOUR].map(|at| (at, Ending::Fixed));
    assert_eq!(life.idle(DAY * 20), (told.to_vec(), None));
}

#[test]
fn an_end_that_was_told_is_not_told_again_after_a_renewal() {
    let mut life = Life::new(false, Policy::default());
    life.adopt(1, Some("r"), Some(HOUR * 10));
    life.idle(HOUR / 2);
    let notes = life.adopt(2, Some("s"), Some(HOUR * 19 / 2));
    assert!(matches!(notes[..], [Note::Ending(_, Ending::Fixed)]), "{notes:?}");
    life.idle(HOUR / 2);
    assert_eq!(life.adopt(3, Some("t"), Some(HOUR * 9)), []);
    assert_eq!(life.idle(HOUR * 9), (vec![(HOUR * 8, Ending::Fixed)], None));
}

#[test]
fn a_renewal_right_after_another_says_nothing_of_the_end() {
    let mut life = Life::new(false, Policy::default());
    life.adopt(1, Some("r"), Some(HOUR * 10));
    life.clock.advance(Duration::from_secs(2));
    assert_eq!(life.adopt(2, Some("s"), Some(HOUR * 10 - Duration::from_secs(2))), []);
    assert_eq!(life.idle(HOUR), (vec![], None));
}

#[test]
fn tokens_that_cannot_be_renewed_are_told_of_at_once() {
    let mut life = Life::new(false, Policy::default());
    let notes = life.adopt(1, None, None);
    let now = life.clock.now();
    assert_eq!(notes, [Note::Ending(Deadline::after(now, HOUR), Ending::Last)]);
    assert_eq!(life.machine.ends(now), Some(Deadline::after(now, HOUR)));
    assert_eq!(life.idle(DAY), (vec![], None));
}

#[test]
fn nobody_is_told_where_nobody_is_needed() {
    let mut life = Life::new(true, Policy::default());
    assert_eq!(life.adopt(1, Some("r"), Some(DAY)), []);
    assert_eq!(life.machine.ends(life.clock.now()), None);
    assert_eq!(life.idle(DAY * 2), (vec![], None));
}
