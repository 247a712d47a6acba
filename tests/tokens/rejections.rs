//! Law 6: what the API's rejections may cause.

use std::time::Duration;

use bearerd::demo::Times;

use crate::stage::{PATIENT, Stage, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn law_6_an_api_that_answers_401_for_ever_gets_at_most_twelve_token_requests_in_an_hour() {
    let stage = Stage::with(|options| options.token_lifetime = Duration::from_secs(24 * 3600)).await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.apis.fluent().refuse(Times::Always);
    let before = stage.fluent_counts();
    for _ in 0..360 {
        stage.clock.advance(Duration::from_secs(10));
        let answer = bearerd.get(PATIENT).await;
        assert_eq!(answer.word(), "401", "it passes through: {answer:?}");
        eventually("nothing is under way", || bearerd.status().state != "renewing").await;
    }
    let after = stage.fluent_counts();
    let requests = after.token_requests() - before.token_requests();
    assert!((1..=12).contains(&requests), "{requests}");
    assert_eq!(after.reuses, 0);

    // A success ends it: once the longest cooldown is over, a revocation is met by a renewal again.
    stage.apis.fluent().behave();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.clock.advance(Duration::from_secs(3600));
    stage.apis.fluent().revoke_all();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_a_403_never_renews() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.every_preset()).await;
    let of_another_tenant = "/flow-device/v2/tenants/other-tenant/reasons";
    for _ in 0..10 {
        let answer = bearerd.get(of_another_tenant).await;
        assert_eq!(answer.word(), "403");
        assert_eq!(answer.header("x-bearerd-replayed"), None);
    }
    let counts = stage.apis.flow_retail().counts();
    assert_eq!((counts.token_requests(), counts.forbidden), (1, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_one_path_that_answers_401_for_ever_is_no_treadmill() {
    let stage = Stage::with(|options| options.token_lifetime = Duration::from_secs(24 * 3600)).await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let before = stage.fluent_counts().token_requests();
    // Ten minutes of a call that is rejected twice, and one that is accepted in between.
    for _ in 0..120 {
        stage.clock.advance(Duration::from_secs(5));
        stage.apis.fluent().refuse(Times::Next(2));
        bearerd.get(PATIENT).await;
        stage.apis.fluent().behave();
        assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    }
    let requests = stage.fluent_counts().token_requests() - before;
    assert!((1..=25).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_6_twenty_revocations_in_a_minute_cost_no_request() {
    let stage = Stage::with(|options| options.token_lifetime = Duration::from_secs(24 * 3600)).await;
    let bearerd = stage.start(&stage.signing_in("")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let before = stage.fluent_counts().token_requests();
    for _ in 0..20 {
        stage.clock.advance(Duration::from_secs(3));
        stage.apis.fluent().revoke_all();
        assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    }
    assert_eq!(stage.fluent_counts().token_requests() - before, 20, "one renewal each");
}
