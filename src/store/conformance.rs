//! The suite that every store passes: the spend protocol's clauses, asked through the trait.
//!
//! Each clause has a key of its own, so a store may bring records along, and two handles, as two processes have.

mod claims;
mod saves;

use std::{sync::Arc, time::Duration};

use super::{AskClaim, Key, Portable, random_id};
use crate::{
    clock::{Clock, Deadline, Now},
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, Lineage, MarkedDead, Origin, Record, SeedHash,
            Seeded, State,
        },
        spec::Fingerprint,
        token::{Position, Tokens},
    },
};

const LEASE: Duration = Duration::from_secs(60);
/// The lease of a claim that is to lapse: a server's clock can't be moved, so it is waited for.
const BRIEF: Duration = Duration::from_millis(50);
/// How many callers ask at once.
const CROWD: usize = 32;

/// Runs every clause. `make` gives another handle on the same store, whose lease clock is `clock`.
pub(super) async fn run(make: impl AsyncFn() -> Arc<dyn Portable>, clock: &Clock) {
    run_in(make, Time::Moved(clock.clone())).await;
}

/// Runs every clause on a store whose lease clock is its server's.
pub(super) async fn run_on_server(make: impl AsyncFn() -> Arc<dyn Portable>) {
    run_in(make, Time::Passing(Clock::system())).await;
}

async fn run_in(make: impl AsyncFn() -> Arc<dyn Portable>, time: Time) {
    let rig = async || Rig {
        here: make().await,
        there: make().await,
        key: Key::of(&format!("conformance_{:x}", random_id().unwrap().0).parse().unwrap()),
        time: time.clone(),
    };
    claims::a_key_without_a_record_is_at_position_0_0(rig().await).await;
    claims::a_claim_elsewhere_is_moved(rig().await).await;
    claims::one_claim_stands(rig().await).await;
    claims::of_a_crowd_one_is_granted(rig().await).await;
    claims::of_a_crowd_one_takes_over(rig().await).await;
    claims::attempts_count_within_a_position(rig().await).await;
    claims::a_standing_claim_is_renewed_by_its_id(rig().await).await;
    claims::check_asks_for_the_claim_and_its_lease(rig().await).await;
    saves::a_refresh_saves_the_next_generation(rig().await).await;
    saves::a_sign_in_saves_the_next_chain(rig().await).await;
    saves::a_restored_position_is_saved_again(rig().await).await;
    saves::a_lost_chain_is_restored_with_its_lineage(rig().await).await;
    saves::a_late_reply_is_saved_unless_a_later_one_is(rig().await).await;
    claims::release_keeps_doubt_and_back_off(rig().await).await;
    claims::only_a_standing_claim_marks_dead(rig().await).await;
    saves::a_sign_in_by_hand_replaces_everything(rig().await).await;
    saves::a_seed_counts_once(rig().await).await;
    saves::lost_acknowledgements_are_asked_for_again(rig().await).await;
    saves::only_what_never_was_signed_in_is_forgotten(rig().await).await;
    saves::only_what_is_as_it_was_seen_is_retired(rig().await).await;
    saves::the_secret_of_subjects_is_the_store_s(rig().await).await;
    saves::everything_of_a_record_is_kept(rig().await, &make).await;
}

struct Rig {
    here: Arc<dyn Portable>,
    there: Arc<dyn Portable>,
    key: Key,
    time: Time,
}

/// How the time of leases passes.
#[derive(Clone)]
enum Time {
    /// As this clock is moved.
    Moved(Clock),
    /// By itself, on the store's own clock.
    Passing(Clock),
}

impl Rig {
    async fn load(&self) -> Option<Record> {
        self.there.load(&self.key).await.unwrap()
    }

    async fn record(&self) -> Record {
        self.load().await.unwrap()
    }

    async fn ask(&self, on: Position, kind: Kind) -> Claimed {
        let ask = ask(random_id().unwrap(), on, kind);
        self.here.claim(&self.key, ask).await.unwrap()
    }

    /// A claim that will have lapsed after [`Rig::lapse`], and perhaps before.
    async fn claim_briefly(&self, on: Position, kind: Kind) -> Claim {
        let ask = ask(random_id().unwrap(), on, kind);
        granted(self.here.claim(&self.key, brief(ask)).await.unwrap())
    }

    async fn claim(&self, on: Position, kind: Kind) -> Claim {
        granted(self.ask(on, kind).await)
    }

    async fn commit(&self, claim: &Claim, tokens: &str) -> Committed {
        self.here
            .commit(&self.key, claim, &self::tokens(tokens), &lineage())
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

    /// Lets every brief lease run out.
    async fn lapse(&self) {
        match &self.time {
            Time::Moved(clock) => clock.advance(LEASE),
            Time::Passing(_) => tokio::time::sleep(BRIEF * 2).await,
        }
    }

    /// Lets some time pass, if it can be moved.
    fn pass(&self, span: Duration) {
        if let Time::Moved(clock) = &self.time {
            clock.advance(span);
        }
    }

    fn now(&self) -> Now {
        let (Time::Moved(clock) | Time::Passing(clock)) = &self.time;
        clock.now()
    }

    /// What is left of a lease: exactly so much, or some of it where time passes by itself.
    #[track_caller]
    fn assert_left(&self, left: Duration, expected: Duration) {
        match self.time {
            Time::Moved(_) => assert_eq!(left, expected),
            Time::Passing(_) => assert!(!left.is_zero() && left <= LEASE, "{left:?}"),
        }
    }

    #[track_caller]
    fn assert_held(&self, claimed: Claimed, expected: Duration) {
        match claimed {
            Claimed::Held(left) => self.assert_left(left, expected),
            other => panic!("not held: {other:?}"),
        }
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

fn lineage() -> Lineage {
    Lineage::unknown(fingerprint())
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

fn brief(ask: AskClaim) -> AskClaim {
    AskClaim { lease: BRIEF, ..ask }
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
