//! A disk that takes no more: no claim is granted, nothing that was saved is lost, and recovery needs no hand.
//!
//! A file of its own, because the limit that stands for the full disk is of the whole process.

use std::{path::Path, time::Duration};

use bearerd::{
    clock::Clock,
    credential::{
        record::{Claimed, Kind, Lineage},
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    store::{self, AskClaim, Key, Keys, Place, random_id},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Sent to a process that writes beyond its limit (signal(7)); it ends one that doesn't handle it.
const SIGXFSZ: i32 = 25;

/// No file may grow beyond this many bytes.
fn limit(bytes: Option<u64>) {
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    setrlimit(Resource::Fsize, limit).unwrap();
}

fn tokens(refresh: String) -> Tokens {
    Tokens {
        refresh: Some(refresh.into()),
        ..Tokens::default()
    }
}

fn ask() -> AskClaim {
    AskClaim {
        id: random_id().unwrap(),
        on: Position {
            chain: 1,
            generation: 1,
        },
        kind: Kind::Refresh,
        lease: Duration::from_secs(60),
        fingerprint: Fingerprint::of(["erp"]),
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_full_disk_stops_spends_and_loses_nothing() {
    let _handled = signal(SignalKind::from_raw(SIGXFSZ)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let keys = Keys::of([&"0123456789-0123456789-0123456789".into()]).unwrap();
    let store = store::open(Place::Sqlite(path.clone()), keys, Clock::system())
        .await
        .unwrap();
    let (key, mark) = (Key::of(&"erp".parse().unwrap()), Fingerprint::of(["erp"]));
    let replace = async |refresh: String| {
        let (id, tokens) = (random_id().unwrap(), tokens(refresh));
        store.replace(&key, id, &tokens, &[], &mark).await
    };
    let first = replace("first".into()).await.unwrap();

    limit(Some(1));
    let error = store.claim(&key, ask()).await.unwrap_err();
    assert!(error.reason.contains("state.db"), "{error}");
    assert_eq!(
        store.load(&key).await,
        Ok(Some(first.clone())),
        "what was there is there"
    );
    limit(None);
    let Ok(Claimed::Granted(claim)) = store.claim(&key, ask()).await else {
        panic!("recovery needs no hand");
    };

    // After a spend, whose tokens need more room than there is: saving them is tried again.
    limit(Some(size(&path)));
    let next = tokens("next ".repeat(20_000));
    for _ in 0..2 {
        store
            .commit(&key, &claim, &next, &Lineage::unknown(mark.clone()))
            .await
            .unwrap_err();
    }
    assert_eq!(store.load(&key).await.unwrap().unwrap().tokens, first.tokens);
    limit(None);
    store
        .commit(&key, &claim, &next, &Lineage::unknown(mark.clone()))
        .await
        .unwrap();
    assert_eq!(store.load(&key).await.unwrap().unwrap().tokens, next);
}
