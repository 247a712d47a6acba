//! Many callers at once, and callers that go away.

use bearerd::demo::{Misbehaviour, Times};
use tokio::task::JoinSet;

use crate::{
    client::Gate,
    stage::{Bearerd, IMPATIENT, PATIENT, Stage, eventually},
};

const CALLERS: usize = 1_000;

/// Sends the requests all at once, with bodies of up to 64 KiB whose last byte waits at the gate;
/// each must succeed and arrive whole.
fn stampede(bearerd: &Bearerd, gate: &Gate) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let client = bearerd.client.clone();
        let gate = gate.clone();
        callers.spawn(async move {
            let length = match caller % 4 {
                0 => 1,
                1 => caller,
                2 => 16 * 1024,
                _ => 64 * 1024,
            };
            let request = client.request("POST", PATIENT).header("content-length", length);
            let answer = client.send(request.body(gate.body(length)).unwrap()).await;
            assert_eq!(answer.word(), "200", "caller {caller}: {answer:?}");
            assert_eq!(answer.arrived(), length as u64, "caller {caller}");
        });
    }
    callers
}

async fn all(mut callers: JoinSet<()>) {
    while let Some(done) = callers.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_thousand_requests_on_an_expired_token_make_one_token_request() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    let before = stage.fluent_counts();
    let gate = Gate::default();
    gate.open();
    all(stampede(&bearerd, &gate)).await;
    let after = stage.fluent_counts();
    assert_eq!(after.token_requests() - before.token_requests(), 1);
    assert_eq!((after.spends, after.reuses, after.unauthorised), (1, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_a_thousand_401s_cause_one_renewal_and_all_succeed() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let before = stage.fluent_counts();
    // All are under way with the token that is about to be revoked, and none can be answered before.
    let gate = Gate::default();
    let callers = stampede(&bearerd, &gate);
    eventually("all are under way", || gate.waiting() == CALLERS).await;
    stage.apis.fluent().revoke_all();
    gate.open();
    all(callers).await;
    let after = stage.fluent_counts();
    assert_eq!(after.token_requests() - before.token_requests(), 1);
    assert_eq!((after.spends, after.reuses), (1, 0));
    assert_eq!(after.authorised - before.authorised, CALLERS as u64);
    assert_eq!(after.unauthorised, after.with_revoked);
    assert!(
        after.with_revoked > CALLERS as u64 / 2,
        "{after:?}: too few were rejected to show anything"
    );

    // The late ones spoke of the old token: nothing is held against the new one, whose own rejection is met by a
    // renewal and not by a cooldown.
    stage.apis.fluent().revoke_all();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().spends, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_caller_that_hangs_up_during_a_refresh_loses_nothing() {
    let stage = Stage::new().await;
    let yaml = stage.signing_in("");
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    stage.apis.fluent().misbehave(Misbehaviour::Drip, Times::Next(1));
    let caller = tokio::spawn({
        let client = bearerd.client.clone();
        async move { client.get(PATIENT).await }
    });
    eventually("the refresh is under way", || stage.fluent_counts().spends == 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());

    bearerd.until("the refresh is done", |status| status.usable).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert!(bearerd.stop().await);
    // It was saved too.
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.token_requests(), counts.spends, counts.reuses), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_callers_deadline_cancels_no_refresh() {
    let stage = Stage::with(|options| options.drip = std::time::Duration::from_millis(4)).await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    // Some three hundred bytes: longer than the hasty callers wait, shorter than the spend may take.
    stage.apis.fluent().misbehave(Misbehaviour::Drip, Times::Next(1));
    assert_eq!(bearerd.get(IMPATIENT).await.word(), "504 token_timeout");
    bearerd.until("the refresh is done", |status| status.usable).await;
    assert_eq!(bearerd.get(IMPATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.token_requests(), counts.spends, counts.reuses), (2, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_a_shutdown_during_a_refresh_waits_for_it_and_saves_it() {
    let stage = Stage::new().await;
    let yaml = stage.signing_in("");
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.clock.advance(stage.lifetime * 3 / 4);
    stage.apis.fluent().misbehave(Misbehaviour::Drip, Times::Next(1));
    // The old token serves this one; its use makes the renewal due.
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    eventually("the refresh is under way", || stage.fluent_counts().spends == 1).await;
    assert!(bearerd.stop().await);

    // The old one is over; the new one is not due yet.
    stage.clock.advance(stage.lifetime * 3 / 10);
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.token_requests(), counts.spends, counts.reuses), (2, 1, 0));
}
