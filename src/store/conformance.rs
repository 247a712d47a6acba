//! The suite that every store passes: DESIGN §4's clauses, asked through the trait.
//!
//! Each clause has a key of its own, so a store may bring records along, and two handles, as two processes have.

use std::{sync::Arc, time::Duration};

use super::{AskClaim, Key, TokenStore, random_id};
use crate::{
    clock::{Clock, Deadline},
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, MarkedDead, Origin, Record, SeedHash, Seeded, State,
        },
        spec::Fingerprint,
        token::{Position, Tokens},
    },
};

const LEASE: Duration = Duration::from_secs(60);
/// How many callers ask at once.
const CROWD: usize = 32;

/// Runs every clause. `make` gives another handle on the same store, whose lease clock is `clock`.
pub(super) async fn run(make: impl AsyncFn() -> Arc<dyn TokenStore>, clock: &Clock) {
    let rig = async || Rig {
        here: make().await,
        there: make().await,
        key: Key::of(&format!("conformance_{:x}", random_id().unwrap().0).parse().unwrap()),
        clock: clock.clone(),
    };
    a_key_without_a_record_is_at_position_0_0(rig().await).await;
    a_claim_elsewhere_is_moved(rig().await).await;
    one_claim_stands(rig().await).await;
    of_a_crowd_one_is_granted(rig().await).await;
    of_a_crowd_one_takes_over(rig().await).await;
    attempts_count_within_a_position(rig().await).await;
    a_standing_claim_is_renewed_by_its_id(rig().await).await;
    check_asks_for_the_claim_and_its_lease(rig().await).await;
    a_refresh_saves_the_next_generation(rig().await).await;
    a_sign_in_saves_the_next_chain(rig().await).await;
    a_restored_position_is_saved_again(rig().await).await;
    a_late_reply_is_saved_unless_a_later_one_is(rig().await).await;
    release_keeps_doubt_and_back_off(rig().await).await;
    only_a_standing_claim_marks_dead(rig().await).await;
    a_sign_in_by_hand_replaces_everything(rig().await).await;
    a_seed_counts_once(rig().await).await;
    lost_acknowledgements_are_asked_for_again(rig().await).await;
    forgetting_removes_the_record(rig().await).await;
    the_secret_of_subjects_is_the_store_s(rig().await).await;
    everything_of_a_record_is_kept(rig().await, &make).await;
}

struct Rig {
    here: Arc<dyn TokenStore>,
    there: Arc<dyn TokenStore>,
    key: Key,
    clock: Clock,
}

impl Rig {
    async fn load(&self) -> Option<Record> {
        self.there.load(&self.key).await.unwrap()
    }

    async fn record(&self) -> Record {
        self.load().await.unwrap()
    }

    async fn ask(&self, on: Position, kind: Kind) -> Claimed {
        self.here
            .claim(&self.key, ask(random_id().unwrap(), on, kind))
            .await
            .unwrap()
    }

    async fn claim(&self, on: Position, kind: Kind) -> Claim {
        granted(self.ask(on, kind).await)
    }

    async fn commit(&self, claim: &Claim, tokens: &str) -> Committed {
        self.here
            .commit(&self.key, claim, &self::tokens(tokens), &fingerprint())
            .await
            .unwrap()
    }

    async fn release(&self, claim: &Claim, back_off: Option<BackOff>, in_doubt: bool) {
        self.here.release(&self.key, claim, back_off, in_doubt).await.unwrap();
    }

    async fn mark_dead(&self, claim: &Claim) -> MarkedDead {
        self.here.mark_dead(&self.key, claim).await.unwrap()
    }

    async fn replace(&self, tokens: &str) -> Record {
        let (id, tokens) = (random_id().unwrap(), self::tokens(tokens));
        self.here
            .replace(&self.key, id, &tokens, &[], &fingerprint())
            .await
            .unwrap()
    }

    async fn seed(&self, id: Id, seed: &str) -> Seeded {
        self.here
            .seed(&self.key, id, SeedHash::of(seed), &tokens(seed), &fingerprint())
            .await
            .unwrap()
    }

    /// Lets every lease run out.
    fn lapse(&self) {
        self.clock.advance(LEASE);
    }
}

fn at(chain: u64, generation: u64) -> Position {
    Position { chain, generation }
}

fn tokens(tag: &str) -> Tokens {
    Tokens {
        access: Some(format!("access of {tag}").into()),
        refresh: Some(format!("refresh of {tag}").into()),
        obtained: 7,
        ..Tokens::default()
    }
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["https://idp.example/token", "erp"])
}

fn ask(id: Id, on: Position, kind: Kind) -> AskClaim {
    AskClaim {
        id,
        on,
        kind,
        lease: LEASE,
        fingerprint: fingerprint(),
    }
}

#[track_caller]
fn granted(claimed: Claimed) -> Claim {
    match claimed {
        Claimed::Granted(claim) => claim,
        other => panic!("not granted: {other:?}"),
    }
}

#[track_caller]
fn saved(committed: Committed) -> Record {
    match committed {
        Committed::Saved(record) => *record,
        other => panic!("not saved: {other:?}"),
    }
}

#[track_caller]
fn superseded(committed: Committed) -> Record {
    match committed {
        Committed::Superseded(record) => *record,
        other => panic!("not superseded: {other:?}"),
    }
}

async fn a_key_without_a_record_is_at_position_0_0(rig: Rig) {
    assert_eq!(rig.load().await, None);
    match rig.ask(at(1, 1), Kind::Refresh).await {
        Claimed::Moved(record) => assert_eq!(record.position, at(0, 0)),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.load().await, None, "a refused claim makes no record");
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    assert_eq!((claim.on, claim.attempt, claim.in_doubt), (at(0, 0), 1, false));
    assert_eq!(rig.record().await.fingerprint, fingerprint());
}

async fn a_claim_elsewhere_is_moved(rig: Rig) {
    let record = rig.replace("hand").await;
    for elsewhere in [at(0, 0), at(1, 0), at(1, 2), at(2, 1)] {
        let answer = rig.ask(elsewhere, Kind::Refresh).await;
        assert_eq!(answer, Claimed::Moved(Box::new(record.clone())));
    }
}

async fn one_claim_stands(rig: Rig) {
    let first = rig.claim(at(0, 0), Kind::SignIn).await;
    assert_eq!(rig.ask(at(0, 0), Kind::SignIn).await, Claimed::Held(LEASE));
    rig.clock.advance(LEASE - Duration::from_millis(1));
    assert_eq!(
        rig.ask(at(0, 0), Kind::SignIn).await,
        Claimed::Held(Duration::from_millis(1))
    );
    rig.release(&first, None, false).await;
    assert!(!rig.claim(at(0, 0), Kind::SignIn).await.in_doubt);
}

/// Many callers of both handles at once: how many of them were granted, the others being held.
async fn crowd(rig: &Rig, on: Position) -> Vec<Claim> {
    let start = Arc::new(tokio::sync::Barrier::new(CROWD));
    let callers: Vec<_> = (0..CROWD)
        .map(|caller| {
            let store = if caller % 2 == 0 { &rig.here } else { &rig.there }.clone();
            let (key, start) = (rig.key.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                store
                    .claim(&key, ask(random_id().unwrap(), on, Kind::Refresh))
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut claims = Vec::new();
    for caller in callers {
        match caller.await.unwrap() {
            Claimed::Granted(claim) => claims.push(claim),
            Claimed::Held(left) => assert_eq!(left, LEASE),
            moved => panic!("{moved:?}"),
        }
    }
    claims
}

async fn of_a_crowd_one_is_granted(rig: Rig) {
    rig.replace("hand").await;
    let claims = crowd(&rig, at(1, 1)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].in_doubt), (1, false));
}

async fn of_a_crowd_one_takes_over(rig: Rig) {
    rig.replace("hand").await;
    rig.claim(at(1, 1), Kind::Refresh).await;
    rig.lapse();
    let claims = crowd(&rig, at(1, 1)).await;
    assert_eq!(claims.len(), 1);
    assert_eq!((claims[0].attempt, claims[0].in_doubt), (2, true));
}

async fn attempts_count_within_a_position(rig: Rig) {
    rig.replace("hand").await;
    for attempt in 1..=3 {
        let claim = rig.claim(at(1, 1), Kind::Refresh).await;
        assert_eq!(claim.attempt, attempt);
        rig.release(&claim, None, false).await;
    }
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(saved(rig.commit(&claim, "next").await).attempt, 4);
    assert_eq!(rig.claim(at(1, 2), Kind::Refresh).await.attempt, 1);
}

async fn a_standing_claim_is_renewed_by_its_id(rig: Rig) {
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let again = ask(claim.id, at(0, 0), Kind::SignIn);
    rig.clock.advance(LEASE / 2);
    assert_eq!(
        rig.there.claim(&rig.key, again.clone()).await,
        Ok(Claimed::Granted(claim.clone()))
    );
    rig.clock.advance(LEASE / 2);
    assert_eq!(rig.ask(at(0, 0), Kind::SignIn).await, Claimed::Held(LEASE / 2));
    rig.lapse();
    assert_eq!(
        rig.there.claim(&rig.key, again.clone()).await,
        Ok(Claimed::Granted(claim.clone())),
        "a lease that is over and that nobody took over is renewed all the same"
    );
    rig.lapse();
    rig.claim(at(0, 0), Kind::SignIn).await;
    assert_eq!(rig.there.claim(&rig.key, again).await, Ok(Claimed::Held(LEASE)));
}

async fn check_asks_for_the_claim_and_its_lease(rig: Rig) {
    rig.replace("hand").await;
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let check = async |at_least| rig.there.check(&rig.key, &claim, at_least).await.unwrap();
    let moved = async || Checked::Moved(rig.load().await.map(Box::new));
    rig.clock.advance(LEASE / 4);
    assert_eq!(check(LEASE / 2).await, Checked::Standing(LEASE / 4 * 3));
    assert_eq!(check(LEASE).await, moved().await, "too little is left");
    rig.lapse();
    assert_eq!(check(Duration::ZERO).await, moved().await, "the lease is over");
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(check(Duration::ZERO).await, moved().await, "it was taken over");
    rig.commit(&second, "next").await;
    assert_eq!(check(Duration::ZERO).await, moved().await, "the record moved");
    rig.here.forget(&rig.key).await.unwrap();
    assert_eq!(check(Duration::ZERO).await, Checked::Moved(None));
}

async fn a_refresh_saves_the_next_generation(rig: Rig) {
    rig.replace("hand").await;
    let doubtful = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(rig.clock.now(), LEASE),
        failures: 1,
    };
    rig.release(&doubtful, Some(wait), true).await;
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let record = saved(rig.commit(&claim, "next").await);
    assert_eq!(record, rig.record().await);
    assert_eq!((record.position, record.origin), (at(1, 2), Origin::ByHand));
    assert_eq!(record.tokens, tokens("next"));
    assert_eq!((record.claim, record.doubt, record.back_off), (None, false, None));
    assert!(!rig.claim(at(1, 2), Kind::Refresh).await.in_doubt);
}

async fn a_sign_in_saves_the_next_chain(rig: Rig) {
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let record = saved(rig.commit(&claim, "first").await);
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::SignIn));
    let refresh = rig.claim(at(1, 1), Kind::Refresh).await;
    rig.lapse();
    let sign_in = rig.claim(at(1, 1), Kind::SignIn).await;
    let record = saved(rig.commit(&sign_in, "second").await);
    assert_eq!((record.position, record.attempt), (at(2, 1), 2));
    superseded(rig.commit(&refresh, "late").await);
    assert_eq!(
        rig.record().await,
        record,
        "a late reply of an older chain changes nothing"
    );
}

async fn a_restored_position_is_saved_again(rig: Rig) {
    rig.replace("hand").await;
    let claim = rig.claim(at(1, 1), Kind::Restore(at(1, 5))).await;
    let record = saved(rig.commit(&claim, "held").await);
    assert_eq!((record.position, record.origin), (at(1, 5), Origin::ByHand));
    let back = rig.claim(at(1, 5), Kind::Restore(at(1, 3))).await;
    superseded(rig.commit(&back, "older").await);
    assert_eq!(rig.record().await.tokens, tokens("held"));
}

async fn a_late_reply_is_saved_unless_a_later_one_is(rig: Rig) {
    rig.replace("hand").await;
    let first = rig.claim(at(1, 1), Kind::Refresh).await;
    rig.lapse();
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    assert_eq!(saved(rig.commit(&first, "first").await).position, at(1, 2));
    let stale = rig.claim(at(1, 2), Kind::Refresh).await;
    let record = saved(rig.commit(&second, "second").await);
    assert_eq!((record.position, record.attempt), (at(1, 2), 2));
    assert_eq!(record.claim, None, "the claim on the first reply is void");
    assert_eq!(superseded(rig.commit(&first, "first").await).tokens, tokens("second"));
    let next = rig.claim(at(1, 2), Kind::Refresh).await;
    assert_eq!(next.attempt, stale.attempt + 1, "attempts go on where they were");
    saved(rig.commit(&next, "next").await);
    superseded(rig.commit(&second, "other").await);

    // A refusal is no reply: it outranks none.
    let slow = rig.claim(at(1, 3), Kind::Refresh).await;
    rig.lapse();
    let refused = rig.claim(at(1, 3), Kind::Refresh).await;
    rig.mark_dead(&refused).await;
    let record = saved(rig.commit(&slow, "slow").await);
    assert_eq!((record.position, record.state), (at(1, 4), State::Live));
}

async fn release_keeps_doubt_and_back_off(rig: Rig) {
    rig.replace("hand").await;
    let mut claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(rig.clock.now(), LEASE),
        failures: 3,
    };
    rig.release(&claim, Some(wait), true).await;
    for _ in 0..2 {
        claim = rig.claim(at(1, 1), Kind::Refresh).await;
        assert!(claim.in_doubt, "doubt outlives a release that leaves none of its own");
        rig.release(&claim, None, false).await;
        assert_eq!(rig.record().await.back_off, Some(wait));
    }
    let stale = claim;
    let standing = rig.claim(at(1, 1), Kind::Refresh).await;
    let before = rig.record().await;
    let longer = BackOff { failures: 4, ..wait };
    rig.release(&stale, Some(longer), true).await;
    assert_eq!(rig.record().await, before, "a stale release does nothing");
    rig.lapse();
    rig.release(&standing, None, false).await;
    assert_eq!(rig.record().await.claim, None, "a lease that is over ends no claim");
}

async fn only_a_standing_claim_marks_dead(rig: Rig) {
    rig.replace("hand").await;
    let first = rig.claim(at(1, 1), Kind::Refresh).await;
    rig.lapse();
    let second = rig.claim(at(1, 1), Kind::Refresh).await;
    let before = rig.record().await;
    assert_eq!(
        rig.mark_dead(&first).await,
        MarkedDead::Moved(Some(Box::new(before.clone())))
    );
    assert_eq!(rig.record().await, before, "a stale mark does nothing");
    let MarkedDead::Dead(record) = rig.mark_dead(&second).await else {
        panic!("it stood");
    };
    assert_eq!(*record, rig.record().await);
    assert_eq!((record.position, record.state), (at(1, 1), State::Dead));
    assert_eq!((&record.claim, &record.tokens), (&None, &tokens("hand")));
    assert_eq!(
        rig.ask(at(1, 1), Kind::Refresh).await,
        Claimed::Moved(record),
        "a dead refresh token isn't spent"
    );
    let sign_in = rig.claim(at(1, 1), Kind::SignIn).await;
    assert!(!sign_in.in_doubt, "the refusal was a definite answer");
    assert_eq!(saved(rig.commit(&sign_in, "anew").await).state, State::Live);
    assert!(matches!(rig.mark_dead(&second).await, MarkedDead::Moved(Some(_))));
    rig.here.forget(&rig.key).await.unwrap();
    assert_eq!(rig.mark_dead(&second).await, MarkedDead::Moved(None));
}

async fn a_sign_in_by_hand_replaces_everything(rig: Rig) {
    let seeds = [SeedHash::of("one"), SeedHash::of("two")];
    let claim = rig.claim(at(0, 0), Kind::SignIn).await;
    let (id, mine) = (random_id().unwrap(), tokens("hand"));
    let replace = async |store: &Arc<dyn TokenStore>| {
        store
            .replace(&rig.key, id, &mine, &seeds, &fingerprint())
            .await
            .unwrap()
    };
    let record = replace(&rig.here).await;
    assert_eq!(record, rig.record().await);
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::ByHand));
    assert_eq!((&record.claim, &record.seeds), (&None, &seeds.to_vec()));
    superseded(rig.commit(&claim, "automatic").await);
    assert_eq!(rig.record().await.tokens, mine);
    for seed in ["one", "two"] {
        assert!(matches!(rig.seed(random_id().unwrap(), seed).await, Seeded::Seen(_)));
    }

    // Its acknowledgement was lost, and others have spent what it saved: asked again, it begins nothing.
    let refresh = rig.claim(at(1, 1), Kind::Refresh).await;
    let refreshed = saved(rig.commit(&refresh, "next").await);
    assert_eq!(replace(&rig.there).await, refreshed);
    assert_eq!(rig.replace("another").await.position, at(2, 1));
    assert_eq!(replace(&rig.there).await.tokens, tokens("another"));
}

async fn a_seed_counts_once(rig: Rig) {
    let (first, second) = (random_id().unwrap(), random_id().unwrap());
    let Seeded::Replaced(record) = rig.seed(first, "one").await else {
        panic!("never seen");
    };
    assert_eq!((record.position, record.origin), (at(1, 1), Origin::Seed));
    assert_eq!(record.tokens, tokens("one"));
    assert_eq!(rig.seed(first, "one").await, Seeded::Replaced(record.clone()));
    assert_eq!(rig.seed(second, "one").await, Seeded::Seen(record));
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let Seeded::Replaced(record) = rig.seed(second, "two").await else {
        panic!("never seen");
    };
    assert_eq!((record.position, &record.claim), (at(2, 1), &None));
    superseded(rig.commit(&claim, "late").await);
    let third = random_id().unwrap();
    assert!(
        matches!(rig.seed(third, "one").await, Seeded::Seen(_)),
        "never forgotten"
    );
    assert_eq!(rig.record().await, *record);
}

/// Each verb is asked twice with the same id, the second time by the other handle: same answer, one effect.
async fn lost_acknowledgements_are_asked_for_again(rig: Rig) {
    let Rig {
        here,
        there,
        key,
        clock,
        ..
    } = &rig;
    let mark = fingerprint();
    let (id, tokens) = (random_id().unwrap(), self::tokens("hand"));
    let answer = here.replace(key, id, &tokens, &[], &mark).await;
    assert_eq!(answer, there.replace(key, id, &tokens, &[], &mark).await);

    let ask = ask(random_id().unwrap(), at(1, 1), Kind::Refresh);
    let answer = here.claim(key, ask.clone()).await;
    assert_eq!(answer, there.claim(key, ask).await);
    let claim = granted(answer.unwrap());

    let tokens = self::tokens("next");
    let answer = here.commit(key, &claim, &tokens, &mark).await;
    assert_eq!(answer, there.commit(key, &claim, &tokens, &mark).await);
    let standing = rig.claim(at(1, 2), Kind::Refresh).await;
    saved(there.commit(key, &claim, &tokens, &mark).await.unwrap());
    assert!(
        matches!(here.check(key, &standing, LEASE).await, Ok(Checked::Standing(_))),
        "an old commit that is asked again voids no claim on what it saved"
    );

    let wait = BackOff {
        until: Deadline::after(clock.now(), LEASE),
        failures: 1,
    };
    here.release(key, &standing, Some(wait), true).await.unwrap();
    let before = rig.record().await;
    there.release(key, &standing, None, false).await.unwrap();
    assert_eq!(before, rig.record().await);

    let refused = rig.claim(at(1, 2), Kind::Refresh).await;
    let answer = here.mark_dead(key, &refused).await;
    assert!(matches!(answer, Ok(MarkedDead::Dead(_))));
    assert_eq!(answer, there.mark_dead(key, &refused).await);

    let (id, hash) = (random_id().unwrap(), SeedHash::of("seed"));
    let answer = here.seed(key, id, hash, &tokens, &mark).await;
    assert!(matches!(answer, Ok(Seeded::Replaced(_))));
    assert_eq!(answer, there.seed(key, id, hash, &tokens, &mark).await);

    here.forget(key).await.unwrap();
    there.forget(key).await.unwrap();
}

async fn forgetting_removes_the_record(rig: Rig) {
    rig.seed(random_id().unwrap(), "seed").await;
    rig.here.forget(&rig.key).await.unwrap();
    assert_eq!(rig.load().await, None);
    assert!(matches!(
        rig.seed(random_id().unwrap(), "seed").await,
        Seeded::Replaced(_)
    ));
}

async fn the_secret_of_subjects_is_the_store_s(rig: Rig) {
    let secret = rig.here.subject_secret().await.unwrap();
    assert_eq!(rig.there.subject_secret().await, Ok(secret));
    assert_ne!(secret, [0; 32]);
}

/// A new handle reads back every field; where the store is durable, after the old handles have gone.
async fn everything_of_a_record_is_kept(rig: Rig, make: &impl AsyncFn() -> Arc<dyn TokenStore>) {
    let now = rig.clock.now();
    let full = Tokens {
        access: Some("ключ \" ' ; ${x} \u{0}".into()),
        refresh: Some(String::new().into()),
        obtained: now.wall,
        expires: Some(Deadline::after(now, LEASE)),
        dies: Some(Deadline::after(now, LEASE * 9)),
    };
    let seeds = [SeedHash::of("one"), SeedHash::of("two")];
    let id = Id(u128::MAX);
    rig.here
        .replace(&rig.key, id, &full, &seeds, &fingerprint())
        .await
        .unwrap();
    let claim = rig.claim(at(1, 1), Kind::Refresh).await;
    let wait = BackOff {
        until: Deadline::after(now, LEASE),
        failures: 2,
    };
    rig.release(&claim, Some(wait), true).await;
    rig.claim(at(1, 1), Kind::Restore(at(1, 7))).await;
    let before = rig.record().await;
    assert_eq!(before.tokens, full);
    assert_eq!((before.saved_by, before.begun_by.as_slice()), (Some(id), &[id][..]));
    assert!(before.claim.is_some() && before.doubt && before.back_off == Some(wait));
    let secret = rig.here.subject_secret().await;
    let key = rig.key.clone();
    drop(rig);
    let later = make().await;
    assert_eq!(later.load(&key).await, Ok(Some(before)));
    assert_eq!(later.subject_secret().await, secret);
}
