//! The lifecycle against the store's own transitions and a model of a strict authorization server, through random
//! histories of crashes, lost replies, lost acknowledgements, refusals and other processes.

use std::{sync::Arc, time::Duration};

use bearerd::{
    clock::{Clock, Deadline, Now},
    credential::{
        lifecycle::{Event, Lifecycle, Offer, Rules, Step},
        record::{Id, Kind, Origin, Record, SeedHash},
        reply::{About, Lost, Outcome, Refusal},
        spec::{Fingerprint, Policy},
        token::Tokens,
    },
    store::{
        AskClaim,
        ledger::{self, Change, Ruling, StoreNow},
    },
};
use proptest::prelude::*;
use secrecy::ExposeSecret;

const LIFETIME: Duration = Duration::from_secs(1800);

/// Issues `r1`, `r2`…: a refresh token works once, and using it again is a reuse that ends its family.
#[derive(Default)]
struct Server {
    issued: u64,
    /// The family of each refresh token, and whether it was spent.
    tokens: Vec<(u64, bool)>,
    dead_families: Vec<u64>,
    families: u64,
    reuses: u32,
    sign_ins: u32,
    spends: u32,
}

impl Server {
    fn issue(&mut self, family: u64, now: Now) -> Tokens {
        self.tokens.push((family, false));
        self.issued += 1;
        Tokens {
            access: Some(format!("a{}", self.issued).into()),
            refresh: Some(format!("r{}", self.issued).into()),
            obtained: now.wall,
            expires: Some(Deadline::after(now, LIFETIME)),
            dies: None,
        }
    }

    fn sign_in(&mut self, now: Now) -> Outcome {
        self.sign_ins += 1;
        self.families += 1;
        Outcome::Granted(self.issue(self.families, now))
    }

    fn refresh(&mut self, token: &str, now: Now) -> Outcome {
        self.spends += 1;
        let index = token[1..].parse::<usize>().unwrap() - 1;
        let (family, spent) = self.tokens[index];
        if spent {
            self.reuses += 1;
            self.dead_families.push(family);
        }
        if spent || self.dead_families.contains(&family) {
            return refused(About::RefreshToken, 400);
        }
        self.tokens[index].1 = true;
        Outcome::Granted(self.issue(family, now))
    }
}

fn refused(about: About, status: u16) -> Outcome {
    Outcome::Refused(Refusal {
        about,
        status,
        code: None,
        text: None,
        hint: None,
        retry_after: None,
    })
}

struct World {
    clock: Clock,
    server: Server,
    record: Option<Record>,
    processes: Vec<Lifecycle>,
    next_process: u128,
    can_sign_in: bool,
    seed: Option<(SeedHash, Arc<Tokens>)>,
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["test"])
}

/// What goes wrong with one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// The store fails before it does anything; the request never leaves.
    Before,
    /// The store did it, and the acknowledgement is lost; the server did it, and the reply is lost.
    After,
    /// The server refuses for a reason that is not the token.
    Refuse,
}

impl World {
    fn new(processes: usize, can_sign_in: bool) -> Self {
        let mut world = Self {
            clock: Clock::manual(),
            server: Server::default(),
            record: None,
            processes: Vec::new(),
            next_process: 1,
            can_sign_in,
            seed: None,
        };
        for _ in 0..processes {
            let process = world.start();
            world.processes.push(process);
        }
        world
    }

    fn start(&mut self) -> Lifecycle {
        let rules = Rules {
            policy: Policy::default(),
            can_refresh: true,
            can_sign_in: self.can_sign_in,
            fingerprint: fingerprint(),
            seed: self.seed.clone(),
            first_id: Id(self.next_process << 64),
            chance: 0,
        };
        self.next_process += 1;
        Lifecycle::new(Arc::new(rules))
    }

    fn write<A>(&mut self, ruling: Ruling<A>, fault: Fault) -> Result<A, String> {
        if fault == Fault::Before {
            return Err("down".into());
        }
        match ruling.change {
            Change::Keep => {}
            Change::Put(record) => self.record = Some(*record),
            Change::Remove => self.record = None,
        }
        if fault == Fault::After {
            return Err("acknowledgement lost".into());
        }
        Ok(ruling.answer)
    }

    /// Lets one process do its next step.
    fn advance(&mut self, process: usize, fault: Fault) {
        let now = self.clock.now();
        let store_now = StoreNow::of_host(now);
        let record = self.record.clone();
        let record = record.as_ref();
        let print = fingerprint();
        let event = match self.processes[process].step(now) {
            Step::Rest(_) => Event::Tick,
            Step::Load => Event::Loaded(if fault == Fault::None {
                Ok(record.cloned().map(Box::new))
            } else {
                Err("down".into())
            }),
            Step::Seed { id, hash, tokens } => {
                Event::Seeded(self.write(ledger::seed(record, id, hash, &tokens, &print), fault))
            }
            Step::Connect(_) => match fault {
                Fault::None => Event::Connected,
                _ => Event::NeverLeft("connection refused".into()),
            },
            Step::Claim { id, on, kind } => {
                let ask = AskClaim {
                    id,
                    on,
                    kind,
                    lease: Policy::default().lease,
                    fingerprint: print,
                };
                Event::Claimed(self.write(ledger::claim(record, &ask, store_now), fault))
            }
            Step::Check(claim) => {
                let at_least = Policy::default().spend_deadline;
                Event::Checked(self.write(ledger::check(record, &claim, at_least, store_now), fault))
            }
            Step::Send { claim, held, .. } => match fault {
                Fault::Before => Event::NeverLeft("reset".into()),
                Fault::Refuse => Event::Answered(refused(About::Rate, 429)),
                Fault::None | Fault::After => {
                    let outcome = match claim.kind {
                        Kind::SignIn => self.server.sign_in(now),
                        _ => {
                            let held = held.unwrap();
                            let token = held.refresh.as_ref().unwrap().expose_secret();
                            self.server.refresh(token, now)
                        }
                    };
                    Event::Answered(match fault {
                        Fault::None => outcome,
                        _ => Outcome::Lost(Lost::NoAnswer),
                    })
                }
            },
            Step::Commit { claim, tokens, lineage } => {
                Event::Committed(self.write(ledger::commit(record, &claim, &tokens, &lineage), fault))
            }
            Step::Release {
                claim,
                back_off,
                in_doubt,
            } => Event::Released(self.write(ledger::release(record, &claim, back_off, in_doubt), fault)),
            Step::MarkDead(claim) => Event::MarkedDead(self.write(ledger::mark_dead(record, &claim), fault)),
        };
        self.processes[process].handle(event, now);
    }

    /// Without faults, until the process offers a token; how many steps it took. Another process that stands still
    /// with a claim costs three hundred looks at the store.
    fn recover(&mut self, process: usize) -> Option<u32> {
        for steps in 0..1000 {
            let now = self.clock.now();
            self.processes[process].handle(Event::Wanted, now);
            if matches!(self.processes[process].offer(now), Offer::Token(_)) {
                return Some(steps);
            }
            if let Step::Rest(until) = self.processes[process].step(now) {
                let wait = until.map_or(Duration::from_secs(1), |until| until.remaining(now));
                self.clock.advance(wait.max(Duration::from_millis(1)));
            }
            self.advance(process, Fault::None);
        }
        None
    }
}

#[derive(Debug, Clone)]
enum Act {
    Step(usize, Fault),
    Crash(usize),
    Wait(u64),
    Wanted(usize),
    Rejected(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let fault = prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Before),
        1 => Just(Fault::After),
        1 => Just(Fault::Refuse),
    ];
    prop_oneof![
        20 => (0..2usize, fault).prop_map(|(process, fault)| Act::Step(process, fault)),
        1 => (0..2usize).prop_map(Act::Crash),
        2 => (1..2000u64).prop_map(Act::Wait),
        3 => (0..2usize).prop_map(Act::Wanted),
        1 => (0..2usize).prop_map(Act::Rejected),
    ]
}

fn run(world: &mut World, acts: &[Act]) -> Result<(), TestCaseError> {
    for act in acts {
        let now = world.clock.now();
        match act {
            Act::Step(process, fault) => world.advance(*process, *fault),
            Act::Crash(process) => world.processes[*process] = world.start(),
            Act::Wait(seconds) => world.clock.advance(Duration::from_secs(*seconds)),
            Act::Wanted(process) => {
                world.processes[*process].handle(Event::Wanted, now);
            }
            Act::Rejected(process) => {
                if let Some(position) = world.processes[*process].position() {
                    world.processes[*process].handle(Event::Rejected(position), now);
                }
            }
        }
        for process in &world.processes {
            if let Offer::Token(position) = process.offer(world.clock.now()) {
                // Law 3: what is offered is saved, or known to be unsaved.
                let saved = world.record.as_ref().is_some_and(|record| record.position >= position);
                prop_assert!(saved || process.is_unsaved(), "{position} is offered and not saved");
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// With a sign-in grant a refresh token in doubt is never sent again, and a token is always to be had.
    #[test]
    fn law_1_one_spend_with_a_sign_in_grant(acts in prop::collection::vec(act(), 1..160)) {
        let mut world = World::new(2, true);
        run(&mut world, &acts)?;
        prop_assert_eq!(world.server.reuses, 0);
        for process in 0..2 {
            prop_assert!(world.recover(process).is_some(), "process {} stays without a token", process);
        }
        prop_assert_eq!(world.server.reuses, 0);
    }
}

/// A world whose one process holds a fresh token, and whose record is live.
fn signed_in(processes: usize) -> World {
    let mut world = World::new(processes, true);
    for process in 0..processes {
        world.recover(process).unwrap();
    }
    world
}

/// Steps a process until it is about to do what `until` says.
fn step_to(world: &mut World, process: usize, until: impl Fn(&Step) -> bool) {
    for _ in 0..50 {
        if until(&world.processes[process].step(world.clock.now())) {
            return;
        }
        world.advance(process, Fault::None);
    }
    panic!("never came to that step");
}

fn expire(world: &mut World, process: usize) {
    world.clock.advance(LIFETIME);
    let now = world.clock.now();
    world.processes[process].handle(Event::Wanted, now);
}

/// A store that is emptied under a running process gets its chain back, with the seed that began it: whoever starts next
/// doesn't take the spent seed for a new one.
#[test]
fn law_7_a_chain_that_the_store_lost_comes_back_with_its_seed() {
    let mut world = World::new(0, false);
    let now = world.clock.now();
    world.server.families += 1;
    let seed = world.server.issue(1, now);
    let hash = SeedHash::of(seed.refresh.as_ref().unwrap().expose_secret());
    let seed = Tokens {
        access: None,
        expires: None,
        ..seed
    };
    world.seed = Some((hash, Arc::new(seed)));
    let first = world.start();
    world.processes.push(first);
    world.recover(0).unwrap();

    world.record = None;
    for _ in 0..2 {
        expire(&mut world, 0);
        world.recover(0).unwrap();
    }
    let record = world.record.clone().unwrap();
    assert_eq!((record.origin, record.seeds.as_slice()), (Origin::Seed, &[hash][..]));

    world.processes[0] = world.start();
    world.recover(0).unwrap();
    expire(&mut world, 0);
    world.recover(0).unwrap();
    assert_eq!((world.server.reuses, world.record.unwrap().position.chain), (0, 1));
}

#[test]
fn law_2_no_claim_no_spend() {
    let mut world = signed_in(1);
    expire(&mut world, 0);
    let before = world.server.spends;
    for _ in 0..500 {
        world.clock.advance(Duration::from_secs(1));
        let fault = match world.processes[0].step(world.clock.now()) {
            Step::Claim { .. } => Fault::Before,
            _ => Fault::None,
        };
        let now = world.clock.now();
        world.processes[0].handle(Event::Wanted, now);
        world.advance(0, fault);
    }
    assert_eq!(world.server.spends, before);
    assert!(world.recover(0).is_some(), "and it recovers by itself");
}

#[test]
fn law_3_after_a_spend_tokens_that_cannot_be_saved_are_used_all_the_same() {
    let mut world = signed_in(1);
    expire(&mut world, 0);
    step_to(&mut world, 0, |step| matches!(step, Step::Commit { .. }));
    assert!(
        !matches!(world.processes[0].offer(world.clock.now()), Offer::Token(_)),
        "not before the commit"
    );
    world.advance(0, Fault::Before);
    assert!(matches!(world.processes[0].offer(world.clock.now()), Offer::Token(_)));
    assert!(world.processes[0].is_unsaved() && !world.processes[0].is_quiet());
    for _ in 0..10 {
        world.clock.advance(Duration::from_secs(60));
        world.advance(0, Fault::None);
    }
    assert!(!world.processes[0].is_unsaved(), "saving is retried until it works");
}

#[test]
fn law_6_a_rejection_speaks_only_of_the_generation_that_was_sent() {
    let mut world = signed_in(1);
    let old = world.processes[0].position().unwrap();
    expire(&mut world, 0);
    world.recover(0).unwrap();
    let now = world.clock.now();
    world.processes[0].handle(Event::Rejected(old), now);
    assert!(matches!(world.processes[0].offer(now), Offer::Token(_)));
}

#[test]
fn law_6_a_fresh_token_that_is_rejected_too_starts_a_cooldown() {
    let mut world = signed_in(1);
    let mut spends = Vec::new();
    for _ in 0..600 {
        let now = world.clock.now();
        if let Offer::Token(position) = world.processes[0].offer(now) {
            world.processes[0].handle(Event::Rejected(position), now);
        }
        world.processes[0].handle(Event::Wanted, now);
        for _ in 0..8 {
            world.advance(0, Fault::None);
        }
        spends.push(world.server.spends);
        world.clock.advance(Duration::from_secs(1));
    }
    // Ten minutes of an API that rejects everything: one renewal, then cooldowns of 30, 60, 120, 240 s.
    assert!(
        world.server.spends <= 6,
        "{} token requests in ten minutes",
        world.server.spends
    );
    assert!(world.server.spends >= 3, "cooldowns end");
}

#[test]
fn law_6_a_token_of_another_process_that_is_rejected_too_starts_no_cooldown() {
    let mut world = signed_in(2);
    expire(&mut world, 0);
    world.recover(0).unwrap();
    // The second process has what the first replaced; the API has revoked both.
    let now = world.clock.now();
    let old = world.processes[1].position().unwrap();
    world.processes[1].handle(Event::Rejected(old), now);
    let newer = step_to_offer(&mut world, 1);
    assert!(newer > old && world.server.spends == 1, "adopted, not obtained");
    let notes = world.processes[1].handle(Event::RejectedAgain(newer), now);
    assert!(
        !notes.contains(&bearerd::credential::lifecycle::Note::Cooldown),
        "{notes:?}"
    );
    let fresh = step_to_offer(&mut world, 1);
    assert!(fresh > newer && world.server.spends == 2);
    // What it has obtained itself is another matter.
    let notes = world.processes[1].handle(Event::RejectedAgain(fresh), now);
    assert!(
        notes.contains(&bearerd::credential::lifecycle::Note::Cooldown),
        "{notes:?}"
    );
    assert_eq!(world.server.reuses, 0);
}

/// Steps a process until it offers a token.
fn step_to_offer(world: &mut World, process: usize) -> bearerd::credential::token::Position {
    for _ in 0..50 {
        if let Offer::Token(position) = world.processes[process].offer(world.clock.now()) {
            return position;
        }
        world.advance(process, Fault::None);
    }
    panic!("it never offers a token");
}

#[test]
fn law_6_an_accepted_token_may_be_rejected_again_at_once() {
    let mut world = signed_in(1);
    for _ in 0..3 {
        let position = world.processes[0].position().unwrap();
        let now = world.clock.now();
        world.processes[0].handle(Event::Rejected(position), now);
        assert!(world.recover(0).is_some());
        let renewed = world.processes[0].position().unwrap();
        assert!(renewed > position);
        world.processes[0].handle(Event::Accepted(renewed), now);
    }
    assert_eq!(world.server.spends, 3);
}

#[test]
fn law_10_the_old_token_works_while_renewal_fails() {
    let mut world = signed_in(1);
    // The renewal is due; the endpoint is down until just before the expiry.
    world.clock.advance(LIFETIME - Duration::from_secs(100));
    let now = world.clock.now();
    world.processes[0].handle(Event::Used, now);
    for _ in 0..99 {
        let fault = match world.processes[0].step(world.clock.now()) {
            Step::Connect(_) => Fault::Before,
            _ => Fault::None,
        };
        world.advance(0, fault);
        assert!(matches!(world.processes[0].offer(world.clock.now()), Offer::Token(_)));
        world.clock.advance(Duration::from_secs(1));
    }
    world.clock.advance(Duration::from_secs(1));
    assert!(
        !matches!(world.processes[0].offer(world.clock.now()), Offer::Token(_)),
        "never after its expiry"
    );
}

#[test]
fn an_idle_token_is_not_renewed() {
    let mut world = signed_in(1);
    world.clock.advance(LIFETIME * 3);
    for _ in 0..20 {
        world.advance(0, Fault::None);
    }
    assert_eq!(world.server.spends, 0);
}

#[test]
fn a_second_process_adopts_what_the_first_obtained() {
    let mut world = signed_in(2);
    assert_eq!(world.server.sign_ins, 1);
    expire(&mut world, 0);
    expire(&mut world, 1);
    world.recover(0).unwrap();
    world.recover(1).unwrap();
    assert_eq!(world.processes[0].position(), world.processes[1].position());
}

#[test]
fn without_a_sign_in_grant_a_lost_reply_is_retried_only_when_nothing_can_be_lost() {
    let mut world = signed_in(1);
    world.can_sign_in = false;
    world.processes[0] = world.start();
    step_to(&mut world, 0, |step| matches!(step, Step::Rest(_)));
    world.clock.advance(LIFETIME - Duration::from_secs(100));
    let now = world.clock.now();
    world.processes[0].handle(Event::Used, now);
    step_to(&mut world, 0, |step| matches!(step, Step::Send { .. }));
    world.advance(0, Fault::After);
    for _ in 0..99 {
        world.advance(0, Fault::None);
        assert!(matches!(world.processes[0].offer(world.clock.now()), Offer::Token(_)));
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(world.server.reuses, 0, "not while the old access token lives");
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(1));
        world.advance(0, Fault::None);
    }
    assert_eq!(world.server.reuses, 1, "then once, for a definite answer");
    assert!(matches!(world.processes[0].offer(world.clock.now()), Offer::Refused(trouble, _) if trouble.needs_login()));
}

/// A person signs in, and every process hears of it.
fn sign_in_by_hand(world: &mut World) {
    let now = world.clock.now();
    world.server.families += 1;
    let family = world.server.families;
    let tokens = world.server.issue(family, now);
    let ruling = ledger::replace(world.record.as_ref(), Id(7), &tokens, &[], &fingerprint());
    let record = world.write(ruling, Fault::None).unwrap();
    for process in &mut world.processes {
        process.handle(Event::SignedIn(Box::new(record.clone())), now);
    }
}

#[test]
fn law_7_a_sign_in_by_hand_is_not_lost_to_an_automatic_one_under_way() {
    for step in 0..6 {
        let mut world = World::new(1, true);
        let now = world.clock.now();
        world.processes[0].handle(Event::Wanted, now);
        for _ in 0..step {
            world.advance(0, Fault::None);
        }
        sign_in_by_hand(&mut world);
        let by_hand = world.record.clone().unwrap();
        for _ in 0..20 {
            world.advance(0, Fault::None);
        }
        let record = world.record.clone().unwrap();
        assert_eq!(record.tokens, by_hand.tokens, "after {step} steps");
        assert_eq!(
            world.processes[0].position(),
            Some(by_hand.position),
            "after {step} steps"
        );
    }
}

#[test]
fn law_7_a_refusal_of_old_tokens_kills_nothing_newer() {
    let mut world = signed_in(1);
    expire(&mut world, 0);
    step_to(&mut world, 0, |step| matches!(step, Step::Send { .. }));
    world.server.dead_families.push(1);
    world.advance(0, Fault::None);
    sign_in_by_hand(&mut world);
    world.advance(0, Fault::None);
    let record = world.record.clone().unwrap();
    assert_eq!(record.state, bearerd::credential::record::State::Live);
    assert!(
        matches!(world.processes[0].offer(world.clock.now()), Offer::Token(position) if position == record.position)
    );
}

#[test]
fn law_7_a_sign_in_by_hand_is_not_lost_to_what_a_store_lost_before_it() {
    let mut world = signed_in(2);
    for _ in 0..3 {
        expire(&mut world, 0);
        world.recover(0).unwrap();
    }
    // The store loses everything; a person signs in, and one process hears of it at once, the other when it looks.
    world.record = None;
    let now = world.clock.now();
    let family = world.server.families + 1;
    world.server.families = family;
    let tokens = world.server.issue(family, now);
    let ruling = ledger::replace(None, Id(9), &tokens, &[], &fingerprint());
    let record = world.write(ruling, Fault::None).unwrap();
    world.processes[0].handle(Event::SignedIn(Box::new(record.clone())), now);
    for process in [0, 1] {
        expire(&mut world, process);
        world.recover(process).unwrap();
    }
    assert_eq!(world.record.clone().unwrap().begun_by, [Id(9)]);
    assert_eq!(world.server.sign_ins, 1, "the person's chain goes on");
}

#[test]
fn a_rejected_token_in_doubt_is_retried_no_faster_than_its_back_off() {
    let mut world = signed_in(1);
    world.can_sign_in = false;
    world.processes[0] = world.start();
    step_to(&mut world, 0, |step| matches!(step, Step::Rest(_)));
    let position = world.processes[0].position().unwrap();
    let now = world.clock.now();
    world.processes[0].handle(Event::Rejected(position), now);
    let mut sends = 0;
    for _ in 0..600 {
        let now = world.clock.now();
        world.processes[0].handle(Event::Wanted, now);
        let step = world.processes[0].step(now);
        let fault = match step {
            Step::Send { .. } => Fault::After,
            _ => Fault::None,
        };
        if fault == Fault::After {
            sends += 1;
            // The server never sees it: only the pace is looked at.
            world.processes[0].handle(Event::Answered(Outcome::Lost(Lost::ServerError(503))), now);
        } else {
            world.advance(0, fault);
        }
        world.clock.advance(Duration::from_millis(10));
    }
    assert!((1..=4).contains(&sends), "{sends} requests in six seconds");
}
