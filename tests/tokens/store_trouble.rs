//! Laws 2, 3 and 10 with a store that fails.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bearerd::store;

use crate::{
    faulty_store::Faulty,
    stage::{Bearerd, PATIENT, Stage, eventually},
};

/// A seeded credential with a token in use, over a store that a test can break: there is no sign-in that could hide
/// the loss of a refresh token.
async fn seeded() -> (Stage, String, Arc<Faulty>, Bearerd) {
    let stage = Stage::new().await;
    let yaml = stage.seeded("").await;
    let store = Faulty::over(store::sqlite(&stage.path("state.db"), stage.clock.clone()).unwrap());
    let bearerd = stage.start_over(store.clone(), &yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    (stage, yaml, store, bearerd)
}

/// What the next start finds is what was issued last.
async fn next_start_needs_no_token_request(stage: &Stage, yaml: &str) {
    let requests = stage.fluent_counts().token_requests();
    let bearerd = stage.start(yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().token_requests(), requests);
    // And its refresh token is the one that is good.
    stage.expire();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().reuses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_tokens_that_cannot_be_saved_are_used_and_saved_later() {
    let (stage, yaml, store, bearerd) = seeded().await;
    stage.expire();
    store.commits_fail.store(true, Ordering::SeqCst);
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    bearerd.until("flagged", |status| status.unsaved).await;
    stage.clock.advance(Duration::from_secs(2));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert!(bearerd.status().unsaved);

    store.commits_fail.store(false, Ordering::SeqCst);
    stage.clock.advance(Duration::from_secs(5));
    bearerd.until("saved", |status| !status.unsaved).await;
    assert_eq!(stage.fluent_counts().spends, 2);
    assert!(bearerd.stop().await);
    next_start_needs_no_token_request(&stage, &yaml).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_shutdown_keeps_saving_until_it_works() {
    let (stage, yaml, store, bearerd) = seeded().await;
    stage.expire();
    store.commits_fail.store(true, Ordering::SeqCst);
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    bearerd.until("flagged", |status| status.unsaved).await;

    let stopping = tokio::spawn(bearerd.stop());
    let before = store.failed_commits.load(Ordering::SeqCst);
    // The waits between tries double: the end has long begun when there were so many.
    eventually("it keeps trying", || {
        stage.clock.advance(Duration::from_secs(1));
        store.failed_commits.load(Ordering::SeqCst) >= before + 8
    })
    .await;
    assert!(!stopping.is_finished());
    store.commits_fail.store(false, Ordering::SeqCst);
    eventually("it has ended", || {
        stage.clock.advance(Duration::from_millis(100));
        stopping.is_finished()
    })
    .await;
    assert!(stopping.await.unwrap());
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses), (2, 0));
    // The clock moved while it ended, perhaps past the new token's expiry: what must be there is its refresh token.
    let bearerd = stage.start(&yaml).await;
    stage.expire();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_tokens_whose_saving_hangs_are_used_once_its_deadline_is_over() {
    let (stage, yaml, store, bearerd) = seeded().await;
    stage.expire();
    store.commits_hang.store(true, Ordering::SeqCst);
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    bearerd.until("flagged", |status| status.unsaved).await;
    store.commits_hang.store(false, Ordering::SeqCst);
    stage.clock.advance(Duration::from_secs(5));
    bearerd.until("saved", |status| !status.unsaved).await;
    assert!(bearerd.stop().await);
    next_start_needs_no_token_request(&stage, &yaml).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_2_without_a_claim_there_is_no_token_request() {
    let (stage, _, store, bearerd) = seeded().await;
    let requests = stage.fluent_counts().token_requests();
    store.claims_fail.store(true, Ordering::SeqCst);
    stage.expire();
    for _ in 0..10 {
        let answer = bearerd.hasty().await;
        assert_eq!(answer.word(), "503 token_unavailable", "{answer:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("the disk is full"));
        stage.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(stage.fluent_counts().token_requests(), requests);
    store.claims_fail.store(false, Ordering::SeqCst);
    stage.clock.advance(Duration::from_secs(60));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().reuses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_a_late_answer_that_the_claim_stands_is_not_acted_on() {
    let (stage, _, store, bearerd) = seeded().await;
    let before = store.checks.load(Ordering::SeqCst);
    stage.expire();
    // Longer than a lease: another process may have taken over since.
    *store.late_check.lock().unwrap() = Some((stage.clock.clone(), Duration::from_secs(3600)));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    // Late, over, and standing again once its lease was renewed.
    assert_eq!(store.checks.load(Ordering::SeqCst), before + 3);
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_10_a_failing_store_hurts_nobody_while_the_held_token_lives() {
    let (stage, _, store, bearerd) = seeded().await;
    let requests = stage.fluent_counts().token_requests();
    store.claims_fail.store(true, Ordering::SeqCst);
    stage.clock.advance(stage.lifetime * 3 / 4);
    for _ in 0..4 {
        assert_eq!(bearerd.hasty().await.word(), "200");
        stage.clock.advance(Duration::from_secs(1));
    }
    bearerd
        .until("it was tried", |status| status.last_error.is_some())
        .await;
    assert_eq!(stage.fluent_counts().token_requests(), requests);
}
