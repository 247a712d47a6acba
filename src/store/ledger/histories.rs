//! Random histories: whatever happens in whatever order, the laws hold after every step.

use std::collections::HashSet;

use proptest::{prelude::*, sample::Index};

use super::*;

/// In milliseconds; clocks move by up to twice as much at once.
const LEASE: u64 = 100;

/// What happens next. An `Index` picks one of what there has been so far: the older, the staler.
#[derive(Debug, Clone)]
enum Step {
    Claim { kind: u8, generations: u64, behind: bool },
    AskAgain(Index),
    Commit { claim: Index, reply: u8 },
    Release { claim: Index, in_doubt: bool },
    MarkDead(Index),
    Replace { seed: u8 },
    ReplaceAgain(Index),
    Seed { seed: u8 },
    SeedAgain(Index),
    Tick(u64),
    Reboot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_u8, 0..4_u64, prop::bool::weighted(0.1))
            .prop_map(|(kind, generations, behind)| Step::Claim { kind, generations, behind }),
        3 => any::<Index>().prop_map(Step::AskAgain),
        6 => (any::<Index>(), 0..2_u8).prop_map(|(claim, reply)| Step::Commit { claim, reply }),
        4 => (any::<Index>(), any::<bool>()).prop_map(|(claim, in_doubt)| Step::Release { claim, in_doubt }),
        2 => any::<Index>().prop_map(Step::MarkDead),
        1 => (0..3_u8).prop_map(|seed| Step::Replace { seed }),
        1 => any::<Index>().prop_map(Step::ReplaceAgain),
        1 => (0..6_u8).prop_map(|seed| Step::Seed { seed }),
        1 => any::<Index>().prop_map(Step::SeedAgain),
        6 => (0..2 * LEASE).prop_map(Step::Tick),
        1 => Just(Step::Reboot),
    ]
}

/// A request to the store, which can be sent again.
#[derive(Debug, Clone)]
enum Verb {
    Claim(AskClaim),
    Commit(Claim, Tokens),
    Release(Claim, bool),
    MarkDead(Claim),
    Replace(Id, SeedHash),
    Seed(Id, SeedHash),
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Claimed(Claimed),
    Committed(Committed),
    Released,
    Marked(MarkedDead),
    Replaced(Box<Record>),
    Seeded(Seeded),
}

struct World {
    record: Option<Record>,
    now: StoreNow,
    ids: u128,
    asks: Vec<AskClaim>,
    /// Every claim that was ever granted.
    claims: Vec<Claim>,
    begun: Vec<Verb>,
    /// What the history says of the standing tokens: a spend of them is in doubt.
    doubt: bool,
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["erp"])
}

fn tokens(text: String) -> Tokens {
    Tokens {
        refresh: Some(text.into()),
        ..Tokens::default()
    }
}

fn rank(record: Option<&Record>) -> (Position, u32) {
    record.map_or((Position::default(), 0), |record| (record.position, record.attempt))
}

impl World {
    fn new() -> Self {
        Self {
            record: None,
            now: StoreNow { ms: 0, epoch: 1 },
            ids: 0,
            asks: Vec::new(),
            claims: Vec::new(),
            begun: Vec::new(),
            doubt: false,
        }
    }

    fn id(&mut self) -> Id {
        self.ids += 1;
        Id(self.ids)
    }

    fn position(&self) -> Position {
        rank(self.record.as_ref()).0
    }

    fn stands(&self, claim: &Claim) -> bool {
        let left = check(self.record.as_ref(), claim, Duration::ZERO, self.now).answer;
        matches!(left, Checked::Standing(_))
    }

    /// The request of a step, or `None` where it only moves time or there is nothing to pick.
    fn verb(&mut self, step: &Step) -> Option<Verb> {
        let pick =
            |index: &Index| (!self.claims.is_empty()).then(|| self.claims[index.index(self.claims.len())].clone());
        Some(match step {
            Step::Claim {
                kind,
                generations,
                behind,
            } => {
                let mut on = self.position();
                let kind = match kind {
                    0 | 1 => Kind::Refresh,
                    2 => Kind::SignIn,
                    _ => Kind::Restore(Position {
                        generation: on.generation + generations,
                        ..on
                    }),
                };
                if *behind {
                    on.generation = on.generation.wrapping_sub(1);
                }
                let ask = AskClaim {
                    id: self.id(),
                    on,
                    kind,
                    lease: Duration::from_millis(LEASE),
                    fingerprint: fingerprint(),
                };
                self.asks.push(ask.clone());
                Verb::Claim(ask)
            }
            Step::AskAgain(index) if !self.asks.is_empty() => {
                Verb::Claim(self.asks[index.index(self.asks.len())].clone())
            }
            Step::Commit { claim, reply } => {
                let claim = pick(claim)?;
                let tokens = tokens(format!("{:?} {reply}", claim.id));
                Verb::Commit(claim, tokens)
            }
            Step::Release { claim, in_doubt } => Verb::Release(pick(claim)?, *in_doubt),
            Step::MarkDead(claim) => Verb::MarkDead(pick(claim)?),
            Step::Replace { seed } => Verb::Replace(self.id(), SeedHash::of(&seed.to_string())),
            Step::Seed { seed } => Verb::Seed(self.id(), SeedHash::of(&seed.to_string())),
            Step::ReplaceAgain(index) | Step::SeedAgain(index) if !self.begun.is_empty() => {
                self.begun[index.index(self.begun.len())].clone()
            }
            Step::AskAgain(_) | Step::ReplaceAgain(_) | Step::SeedAgain(_) => return None,
            Step::Tick(ms) => {
                self.now.ms += ms;
                return None;
            }
            Step::Reboot => {
                self.now = StoreNow {
                    ms: 0,
                    epoch: self.now.epoch + 1,
                };
                return None;
            }
        })
    }

    fn send(&mut self, verb: &Verb) -> Answer {
        let record = self.record.clone();
        let record = record.as_ref();
        match verb {
            Verb::Claim(ask) => Answer::Claimed(self.apply(claim(record, ask, self.now))),
            Verb::Commit(claim, tokens) => {
                Answer::Committed(self.apply(commit(record, claim, tokens, &Lineage::unknown(fingerprint()))))
            }
            Verb::Release(claim, in_doubt) => {
                self.apply(release(record, claim, None, *in_doubt));
                Answer::Released
            }
            Verb::MarkDead(claim) => Answer::Marked(self.apply(mark_dead(record, claim))),
            Verb::Replace(id, hash) => {
                let tokens = tokens(format!("by hand {id:?}"));
                Answer::Replaced(Box::new(self.apply(replace(
                    record,
                    *id,
                    &tokens,
                    &[*hash],
                    &fingerprint(),
                ))))
            }
            Verb::Seed(id, hash) => {
                let tokens = tokens(format!("seed {id:?}"));
                Answer::Seeded(self.apply(seed(record, *id, *hash, &tokens, &fingerprint())))
            }
        }
    }

    fn apply<A>(&mut self, ruling: Ruling<A>) -> A {
        match ruling.change {
            Change::Keep => {}
            Change::Put(record) => self.record = Some(*record),
            Change::Remove => self.record = None,
        }
        ruling.answer
    }

    /// One request and everything that must hold of it.
    fn live(&mut self, verb: &Verb) {
        let before = self.record.clone();
        let standing: Vec<Claim> = self.claims.iter().filter(|claim| self.stands(claim)).cloned().collect();
        let answer = self.send(verb);
        let after = self.record.clone();

        assert_eq!(self.send(verb), answer, "the same id gets the same answer");
        assert_eq!(self.record, after, "and acts once");
        self.nothing_goes_back(before.as_ref());
        match (verb, &answer) {
            (Verb::Claim(_), Answer::Claimed(Claimed::Granted(claim))) => self.grant(claim, before.as_ref(), &standing),
            (Verb::Claim(_), Answer::Claimed(_)) => assert_eq!(before, after),
            (Verb::Commit(claim, tokens), Answer::Committed(committed)) => {
                self.commit(claim, tokens, committed, before.as_ref())
            }
            (Verb::Release(claim, _) | Verb::MarkDead(claim), _) => {
                let own = before.as_ref().and_then(|record| record.claim.as_ref());
                let own = own.filter(|own| (own.id, own.attempt) == (claim.id, claim.attempt));
                if own.is_none() {
                    assert_eq!(before, after, "a stale release or mark changes nothing");
                }
                match verb {
                    Verb::Release(_, in_doubt) => self.doubt |= own.is_some() && *in_doubt,
                    _ => self.doubt &= own.is_none(),
                }
            }
            (Verb::Replace(id, _) | Verb::Seed(id, _), _) => {
                if after != before {
                    let was = rank(before.as_ref()).0.chain;
                    assert_eq!(self.position(), first_of(was + 1));
                    assert!(
                        !self
                            .begun
                            .iter()
                            .any(|begun| matches!(begun, Verb::Replace(old, _) | Verb::Seed(old, _) if old == id))
                    );
                    self.begun.push(verb.clone());
                    self.doubt = false;
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn nothing_goes_back(&self, before: Option<&Record>) {
        let after = self.record.as_ref();
        assert!(rank(after) >= rank(before), "what is saved went back");
        let Some((before, after)) = before.zip(after) else {
            return;
        };
        assert!(before.seeds.iter().all(|seed| after.seeds.contains(seed)));
        if before.position == after.position {
            assert!(after.attempts >= before.attempts);
        }
        if before.tokens != after.tokens {
            assert_eq!((after.state, &after.claim, after.doubt), (State::Live, &None, false));
        }
        if let Some(standing) = &after.claim {
            assert_eq!(standing.on, after.position);
        }
        let standing = self.claims.iter().filter(|claim| self.stands(claim)).count();
        assert!(standing <= 1, "{standing} claims stand");
    }

    fn grant(&mut self, claim: &Claim, before: Option<&Record>, standing: &[Claim]) {
        assert!(standing.iter().all(|other| other.id == claim.id), "two claims stand");
        assert!(self.stands(claim));
        assert_eq!(claim.on, self.position());
        if let Some(known) = self
            .claims
            .iter()
            .find(|known| known.id == claim.id && known.attempt == claim.attempt)
        {
            assert_eq!(known, claim);
        }
        let taken_over = before
            .and_then(|record| record.claim.as_ref())
            .is_some_and(|other| other.id != claim.id);
        self.doubt |= taken_over;
        if !self.claims.contains(claim) {
            assert_eq!(claim.in_doubt, self.doubt, "doubt is kept until a definite answer");
            let of_old = self.claims.iter().filter(|old| old.on == claim.on);
            assert!(
                of_old.into_iter().all(|old| old.attempt < claim.attempt),
                "attempts only rise"
            );
            self.claims.push(claim.clone());
        }
    }

    fn commit(&mut self, claim: &Claim, tokens: &Tokens, committed: &Committed, before: Option<&Record>) {
        let was = rank(before);
        match committed {
            Committed::Saved(record) => {
                assert_eq!(Some(&**record), self.record.as_ref());
                assert_eq!(&record.tokens, tokens, "saved means that it is there");
                if before != self.record.as_ref() {
                    self.doubt = false;
                    let is_own = before.is_some_and(|record| record.saved_by == Some(claim.id));
                    assert!(is_own || was.0.chain == claim.on.chain, "only its own chain goes on");
                    assert!(is_own || rank(self.record.as_ref()) > was);
                }
            }
            Committed::Superseded(record) => {
                assert_eq!((Some(&**record), before), (self.record.as_ref(), self.record.as_ref()));
                let is_behind = match claim.kind {
                    Kind::Refresh => {
                        was >= (
                            Position {
                                generation: claim.on.generation + 1,
                                ..claim.on
                            },
                            claim.attempt,
                        )
                    }
                    Kind::SignIn => false,
                    Kind::Restore(held) => was.0 >= held,
                };
                assert!(is_behind || was.0.chain != claim.on.chain, "a reply was thrown away");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn law_7_nothing_saved_goes_back_in_any_history(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            if let Some(verb) = world.verb(step) {
                world.live(&verb);
            }
        }
        let ids: HashSet<_> = world.claims.iter().map(|claim| (claim.on, claim.attempt)).collect();
        prop_assert_eq!(ids.len(), world.claims.len(), "an attempt was granted twice");
    }
}
