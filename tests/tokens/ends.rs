//! Grants that end: kept alive while nobody uses them, and told of ahead.

use std::time::Duration;

use crate::stage::{PATIENT, Stage};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread")]
async fn refresh_lifetime_renews_a_grant_that_nobody_uses_before_it_dies() {
    let stage = Stage::new().await;
    let yaml = stage.seeded(", refresh_lifetime: 30d").await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let begun = stage.clock.now().wall;
    let dies = |days: u32| Some(begun + (DAY * days).as_millis() as u64);
    assert_eq!(bearerd.status().dies, dies(30));
    let metric = format!(
        "bearerd_grant_dies_timestamp_seconds{{credential=\"fluent\"}} {}\n",
        dies(30).unwrap() / 1000
    );
    assert!(bearerd.metrics().contains(&metric), "{metric}{}", bearerd.metrics());

    stage.clock.advance(DAY * 26);
    bearerd.until("it has looked", |status| !status.usable).await;
    assert_eq!(stage.fluent_counts().spends, 1, "idle costs nothing");
    stage.clock.advance(DAY);
    bearerd.until("kept alive", |status| status.generation == Some(3)).await;
    assert_eq!(bearerd.status().dies, dies(57));
    // It is used again, months later.
    for renewals in 3..=5 {
        stage.clock.advance(DAY * 27);
        let generation = Some(renewals + 1);
        bearerd
            .until("kept alive", |status| status.generation == generation)
            .await;
        assert_eq!(stage.fluent_counts().spends, renewals);
    }
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().reuses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_cannot_be_renewed_says_when_a_person_is_needed() {
    let stage = Stage::with(|options| options.token_lifetime = DAY * 30).await;
    // Its replies have no refresh token where it is looked for.
    let yaml = stage
        .seeded(", single_use: true, reply: { refresh_token: [/nowhere] }")
        .await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let status = bearerd.status();
    assert_eq!(
        (status.dies, status.what_to_do),
        (status.expires, None),
        "a month ahead"
    );

    stage.clock.advance(DAY * 23);
    bearerd
        .until("a week ahead", |status| status.what_to_do.is_some())
        .await;
    let status = bearerd.status();
    let said = status.what_to_do.unwrap();
    assert!(
        said.contains("put a new refresh token into credentials.fluent before 20") && said.contains("can't be renewed"),
        "{said}"
    );
    assert!(status.usable && status.last_error.is_none());
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");

    stage.clock.advance(DAY * 8);
    let ended = |said: &Option<String>| {
        said.as_ref()
            .is_some_and(|said| said.contains("its session ended at 20"))
    };
    bearerd.until("after its end", |status| ended(&status.what_to_do)).await;
    assert_eq!(bearerd.hasty().await.word(), "503 login_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_signs_in_by_itself_needs_nobody() {
    let stage = Stage::new().await;
    let bearerd = stage.start(&stage.signing_in(", refresh_lifetime: 30d")).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(bearerd.status().dies, None);
    let none = "bearerd_grant_dies_timestamp_seconds{credential=\"fluent\"} 0\n";
    assert!(bearerd.metrics().contains(none), "{}", bearerd.metrics());
}
