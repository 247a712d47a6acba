//! Law 11 with a store that can't say which key its subjects are kept under: whoever waits, waits once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bearerd::{clock::Clock, store};
use http_body_util::Empty;
use tokio::task::JoinSet;

use crate::{
    faulty_store::Faulty,
    stage::{Bearerd, IMPATIENT, PATIENT, Stage},
};

const CALLERS: usize = 100;

async fn with_subjects() -> (Stage, Arc<Faulty>, Bearerd) {
    let stage = Stage::new().await;
    let yaml = stage.signing_in(r#", subject: { user: "${header:x-user}" }"#);
    let store = Faulty::over(store::memory(stage.clock.clone()));
    let bearerd = stage.start_over(store.clone(), &yaml).await;
    (stage, store, bearerd)
}

/// What callers are told who ask at once, each for a subject of its own.
async fn told(bearerd: &Bearerd, target: &'static str) -> Vec<String> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = bearerd.client.clone();
        callers.spawn(async move {
            let request = client.request("GET", target).header("x-user", format!("u{caller}"));
            client.send(request.body(Empty::new()).unwrap()).await.word()
        });
    }
    callers.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_is_asked_once_a_second_for_all_callers() {
    let (stage, store, bearerd) = with_subjects().await;
    store.secrets_fail.store(true, Ordering::SeqCst);
    for round in 1..=2 {
        for answer in told(&bearerd, PATIENT).await {
            assert!(answer.ends_with("token_unavailable"), "{answer}");
        }
        assert_eq!(store.secret_reads.load(Ordering::SeqCst), round);
        stage.clock.advance(Duration::from_secs(1));
    }
    store.secrets_fail.store(false, Ordering::SeqCst);
    for answer in told(&bearerd, PATIENT).await {
        assert!(answer.starts_with("200"), "{answer}");
    }
    assert_eq!(store.secret_reads.load(Ordering::SeqCst), 3, "known from now on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_costs_each_caller_its_own_patience_only() {
    let (_stage, store, bearerd) = with_subjects().await;
    store.secrets_hang.store(true, Ordering::SeqCst);
    let steady = Clock::system();
    let start = steady.monotonic();
    for answer in told(&bearerd, IMPATIENT).await {
        assert!(answer.ends_with("token_unavailable"), "{answer}");
    }
    // One after the other would be eighty seconds.
    assert!(steady.monotonic() - start < Duration::from_secs(40));
    assert_eq!(store.secret_reads.load(Ordering::SeqCst), 1);
}
