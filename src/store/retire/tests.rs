use std::sync::Arc;

use super::*;
use crate::{
    credential::{
        record::{Claimed, Kind, Lineage, SeedHash},
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    store::{AskClaim, Key, Keys, Place, open, random_id},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn mark() -> Fingerprint {
    Fingerprint::of(["erp"])
}

fn retirement() -> Retirement {
    Retirement::new(["erp".parse().unwrap()], DAY)
}

fn subject(name: &str) -> Key {
    Key::of_subject(&"erp".parse().unwrap(), &[0; 32], [name])
}

/// Tokens that expire in an hour.
fn tokens(clock: &Clock) -> Tokens {
    Tokens {
        access: Some("access".into()),
        obtained: clock.now().wall,
        expires: Some(Deadline::after(clock.now(), Duration::from_secs(3600))),
        ..Tokens::default()
    }
}

async fn claim(store: &dyn Portable, key: &Key, on: Position) -> crate::credential::record::Claim {
    let ask = AskClaim {
        id: random_id().unwrap(),
        on,
        kind: Kind::SignIn,
        lease: Duration::from_secs(60),
        fingerprint: mark(),
    };
    match store.claim(key, ask).await.unwrap() {
        Claimed::Granted(claim) => claim,
        other => panic!("{other:?}"),
    }
}

async fn sign_in(store: &dyn Portable, key: &Key, clock: &Clock) -> Position {
    let on = store
        .load(key)
        .await
        .unwrap()
        .map_or(Position::default(), |record| record.position);
    let claim = claim(store, key, on).await;
    store
        .commit(key, &claim, &tokens(clock), &Lineage::unknown(mark()))
        .await
        .unwrap();
    claim.brings()
}

#[tokio::test]
async fn only_idle_subjects_that_sign_in_by_themselves_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::manual();
    let place = Place::Sqlite(directory.path().join("state.db"));
    let store: Arc<dyn Portable> = open(place, Keys::none(), clock.clone()).await.unwrap();
    let names = ["idle", "claimed", "in_doubt", "lasting", "used"];
    for name in names {
        let on = sign_in(&*store, &subject(name), &clock).await;
        match name {
            "claimed" => _ = claim(&*store, &subject(name), on).await,
            "in_doubt" => {
                let claim = claim(&*store, &subject(name), on).await;
                store.release(&subject(name), &claim, None, true).await.unwrap();
            }
            "lasting" => {
                let claim = claim(&*store, &subject(name), on).await;
                let lasting = Tokens {
                    expires: None,
                    ..tokens(&clock)
                };
                store
                    .commit(&subject(name), &claim, &lasting, &Lineage::unknown(mark()))
                    .await
                    .unwrap();
            }
            _ => {}
        }
    }
    let whole = Key::of(&"erp".parse().unwrap());
    sign_in(&*store, &whole, &clock).await;
    let id = || random_id().unwrap();
    store
        .replace(&subject("by_hand"), id(), &tokens(&clock), &[], &mark())
        .await
        .unwrap();
    let hash = SeedHash::of("seed");
    store
        .seed(&subject("seeded"), id(), hash, &tokens(&clock), &mark())
        .await
        .unwrap();
    // Signed in anew since, but the seed must be known for ever.
    sign_in(&*store, &subject("seeded"), &clock).await;

    let other = Key::of_subject(&"theirs".parse().unwrap(), &[0; 32], ["idle"]);
    sign_in(&*store, &other, &clock).await;

    let mut retirement = retirement();
    clock.advance(DAY);
    assert_eq!(retirement.sweep(&*store, &clock).await, Ok(0));
    assert!(retirement.seen.is_empty(), "an hour of its life counts too");
    sign_in(&*store, &subject("used"), &clock).await;
    clock.advance(DAY / 2);
    assert_eq!(
        retirement.sweep(&*store, &clock).await,
        Ok(0),
        "it is seen idle for the first time"
    );
    sign_in(&*store, &subject("used"), &clock).await;
    clock.advance(DAY);
    assert_eq!(retirement.sweep(&*store, &clock).await, Ok(1));
    assert_eq!(store.load(&subject("idle")).await, Ok(None));
    let kept = ["claimed", "in_doubt", "lasting", "used", "by_hand", "seeded"].map(subject);
    for key in kept.iter().chain([&whole, &other]) {
        assert!(store.load(key).await.unwrap().is_some(), "{key:?}");
    }
    // The program does so from day to day.
    let going = tokio::spawn({
        let (store, clock) = (store.clone(), clock.clone());
        async move { retirement.keep(&*store, &clock).await }
    });
    while store.load(&subject("used")).await.unwrap().is_some() {
        clock.advance(DAY / 2);
    }
    going.abort();
    // Whoever comes back signs in again.
    let again = sign_in(&*store, &subject("idle"), &clock).await;
    assert_eq!((again.chain, again.generation), (1, 1));
}
#[tokio::test]
async fn a_wrong_wall_clock_takes_nothing_that_is_in_use() {
    let clock = Clock::manual();
    let store: Arc<dyn Portable> = open(Place::Memory, Keys::none(), clock.clone()).await.unwrap();
    for name in ["daily", "left"] {
        sign_in(&*store, &subject(name), &clock).await;
    }
    let year = 365 * DAY.as_millis() as i64;
    let mut wrong = retirement();
    // As its clock is when it looks; the others' is right.
    let mut sweep = async || {
        clock.step(year);
        let count = wrong.sweep(&*store, &clock).await;
        clock.step(-year);
        count
    };
    for _ in 0..4 {
        assert_eq!(sweep().await, Ok(0), "less than a day has passed");
        clock.advance(DAY / 5);
    }
    sign_in(&*store, &subject("daily"), &clock).await;
    clock.advance(DAY / 5);
    assert_eq!(sweep().await, Ok(1));
    assert!(store.load(&subject("daily")).await.unwrap().is_some());
    assert_eq!(store.load(&subject("left")).await, Ok(None));

    // Where the clock was put right in between, what was seen is void.
    let mut mended = retirement();
    clock.step(year);
    assert_eq!(mended.sweep(&*store, &clock).await, Ok(0));
    clock.step(-year);
    clock.advance(DAY / 2);
    assert_eq!(mended.sweep(&*store, &clock).await, Ok(0));
    assert!(mended.seen.is_empty());
}

#[tokio::test]
async fn a_record_that_can_not_be_read_keeps_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (path, clock) = (directory.path().join("state.db"), Clock::manual());
    let place = Place::Sqlite(path.clone());
    let store: Arc<dyn Portable> = open(place, Keys::none(), clock.clone()).await.unwrap();
    for name in ["one", "two", "three"] {
        sign_in(&*store, &subject(name), &clock).await;
    }
    let first = store.keys().await.unwrap().remove(0);
    let raw = rusqlite::Connection::open(&path).unwrap();
    let damage = "UPDATE record SET content = 'x' WHERE key = ?1";
    raw.execute(damage, [first.as_str()]).unwrap();

    let mut retirement = retirement();
    clock.advance(2 * DAY);
    assert_eq!(retirement.sweep(&*store, &clock).await, Ok(0));
    clock.advance(DAY);
    assert_eq!(retirement.sweep(&*store, &clock).await, Ok(2));
    assert_eq!(store.keys().await, Ok(vec![first]));
}
