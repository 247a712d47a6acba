//! What a network does between a store and its server, with a server of our own.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use super::*;
use crate::{
    credential::{
        record::{Claimed, Kind},
        spec::Fingerprint,
    },
    store::{AskClaim, TokenStore, transact::Ledgered},
};

/// What happens to a write.
#[derive(Debug, Clone, Copy)]
enum Mishap {
    /// It is done, and nobody hears of it.
    AnswerLost,
    /// It is not done, and the connection is gone.
    NeverLeft,
    /// Somebody else writes right before it.
    Overtaken,
    /// The server refuses it.
    Refused,
}

#[derive(Debug, Default)]
struct Fake {
    rows: Mutex<HashMap<String, Row>>,
    mishaps: Mutex<VecDeque<Mishap>>,
    writes: Mutex<usize>,
}

impl Fake {
    fn of(mishaps: &[Mishap]) -> Self {
        Self {
            mishaps: Mutex::new(mishaps.iter().copied().collect()),
            ..Self::default()
        }
    }
}

impl Server for Fake {
    const STORE: &'static str = "fake";

    async fn read(&self, key: &str) -> Result<Snapshot, Fault> {
        let row = self.rows.lock().unwrap().get(key).cloned();
        Ok(Snapshot { row, now: 1_000 })
    }

    async fn swap(&self, key: &str, seen: Option<&str>, row: Option<&Row>) -> Result<bool, Fault> {
        *self.writes.lock().unwrap() += 1;
        let mishap = self.mishaps.lock().unwrap().pop_front();
        let mut rows = self.rows.lock().unwrap();
        match mishap {
            Some(Mishap::NeverLeft) => return Err(Fault::passing("gone")),
            Some(Mishap::Refused) => return Err(Fault::lasting("refused")),
            Some(Mishap::Overtaken) => {
                if let Some(row) = rows.get_mut(key) {
                    row.version.push('+');
                }
            }
            Some(Mishap::AnswerLost) | None => {}
        }
        if rows.get(key).map(|row| row.version.as_str()) != seen {
            return Ok(false);
        }
        match row {
            Some(row) => drop(rows.insert(key.to_owned(), row.clone())),
            None => drop(rows.remove(key)),
        }
        match mishap {
            Some(Mishap::AnswerLost) => Err(Fault::passing("gone")),
            _ => Ok(true),
        }
    }

    async fn note(&self, _: &str) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    async fn swap_note(&self, _: &str, _: Option<&str>, _: &str) -> Result<bool, Fault> {
        Ok(true)
    }

    async fn keys(&self, _: &str) -> Result<Vec<(String, bool)>, Fault> {
        Ok(Vec::new())
    }

    async fn hang_up(&self) {}

    fn mend(&self, _: &Key) -> String {
        String::new()
    }
}

async fn store(mishaps: &[Mishap]) -> Ledgered<Remote<Fake>> {
    Ledgered(Remote::open(Fake::of(mishaps), Keys::none()).await.unwrap())
}

fn key() -> Key {
    Key::of(&"erp".parse().unwrap())
}

async fn claim(store: &Ledgered<Remote<Fake>>) -> Result<Claimed, StoreError> {
    let ask = AskClaim {
        id: random_id().unwrap(),
        on: Position::default(),
        kind: Kind::SignIn,
        lease: Duration::from_secs(60),
        fingerprint: Fingerprint::of(["erp"]),
    };
    store.claim(&key(), ask).await
}

/// The attempt that was granted, and how many writes it took.
async fn granted(mishaps: &[Mishap]) -> (u32, usize) {
    let store = store(mishaps).await;
    let Ok(Claimed::Granted(claim)) = claim(&store).await else {
        panic!("{mishaps:?}");
    };
    assert!(!claim.in_doubt);
    let writes = *store.0.server.writes.lock().unwrap();
    (claim.attempt, writes)
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_counts_once() {
    assert_eq!(granted(&[Mishap::NeverLeft]).await, (1, 2));
    // Asked again, the claim is renewed and stays the one that it was.
    assert_eq!(granted(&[Mishap::AnswerLost]).await, (1, 2));
    assert_eq!(granted(&[Mishap::AnswerLost, Mishap::AnswerLost]).await, (1, 3));
}

#[tokio::test]
async fn who_is_overtaken_decides_again() {
    let store = store(&[]).await;
    let Ok(Claimed::Granted(first)) = claim(&store).await else {
        panic!("nobody else asks");
    };
    store.0.server.mishaps.lock().unwrap().push_back(Mishap::Overtaken);
    store.release(&key(), &first, None, true).await.unwrap();
    let record = store.load(&key()).await.unwrap().unwrap();
    assert!(record.claim.is_none() && record.doubt);
    assert_eq!(*store.0.server.writes.lock().unwrap(), 3);
}

#[tokio::test]
async fn what_is_refused_is_told_at_once_and_leaves_nothing() {
    let store = store(&[Mishap::Refused]).await;
    let error = claim(&store).await.unwrap_err();
    assert_eq!(error.to_string(), "the fake store could not claim: refused");
    assert_eq!(store.load(&key()).await, Ok(None));
    assert!(matches!(claim(&store).await, Ok(Claimed::Granted(_))));
}
