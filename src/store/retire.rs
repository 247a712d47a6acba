//! Forgetting subjects that nobody has used for long.
//!
//! Only what comes back by itself is forgotten: chains that a sign-in grant began, of subjects, with nothing under way.

use std::time::Duration;

use super::{Portable, StoreError, ledger};
use crate::{
    clock::{Clock, Deadline},
    log,
};

/// How often a store is gone through: each record is read.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Before the first time, so that a start is not slowed.
const FIRST: Duration = Duration::from_secs(10 * 60);

/// Forgets, for ever, what has been idle for `idle`.
pub async fn keep_retiring(store: &dyn Portable, clock: &Clock, idle: Duration) {
    let mut wait = FIRST;
    loop {
        clock.sleep_until(Deadline::after(clock.now(), wait)).await;
        wait = INTERVAL;
        match retire(store, clock, idle).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(target: log::TOKEN, count, "idle subjects were forgotten"),
            // Nothing depends on it: the next time will do.
            Err(error) => tracing::debug!(target: log::TOKEN, %error, "idle subjects are not forgotten"),
        }
    }
}

/// Forgets what has been idle for `idle`: how many records.
///
/// # Errors
/// The store can't be gone through. A record that can't be read is left alone.
pub async fn retire(store: &dyn Portable, clock: &Clock, idle: Duration) -> Result<usize, StoreError> {
    let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
    let before = clock.now().wall.saturating_sub(idle);
    let mut count = 0;
    for key in store.keys().await? {
        // Reading holds nobody up; most are kept.
        if key.is_of_subject()
            && let Ok(Some(record)) = store.load(&key).await
            && ledger::is_idle(&record, before)
            && store.retire(&key, before).await?
        {
            count += 1;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        credential::{
            record::{Claimed, Kind, SeedHash},
            spec::Fingerprint,
            token::{Position, Tokens},
        },
        store::{AskClaim, Key, Keys, Place, open, random_id},
    };

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn mark() -> Fingerprint {
        Fingerprint::of(["erp"])
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
        store.commit(key, &claim, &tokens(clock), &mark()).await.unwrap();
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
                    store.commit(&subject(name), &claim, &lasting, &mark()).await.unwrap();
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

        clock.advance(DAY);
        assert_eq!(
            retire(&*store, &clock, DAY).await,
            Ok(0),
            "an hour of its life counts too"
        );
        sign_in(&*store, &subject("used"), &clock).await;
        clock.advance(DAY / 2);
        assert_eq!(retire(&*store, &clock, DAY).await, Ok(1));
        assert_eq!(store.load(&subject("idle")).await, Ok(None));
        let kept = ["claimed", "in_doubt", "lasting", "used", "by_hand", "seeded"].map(subject);
        for key in kept.iter().chain([&whole]) {
            assert!(store.load(key).await.unwrap().is_some(), "{key:?}");
        }
        // The program does so from day to day.
        let going = tokio::spawn({
            let (store, clock) = (store.clone(), clock.clone());
            async move { keep_retiring(&*store, &clock, DAY).await }
        });
        while store.load(&subject("used")).await.unwrap().is_some() {
            clock.advance(DAY / 2);
        }
        going.abort();
        // Whoever comes back signs in again.
        let again = sign_in(&*store, &subject("idle"), &clock).await;
        assert_eq!((again.chain, again.generation), (1, 1));
    }
}
