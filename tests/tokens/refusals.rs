//! Definite answers: a request that never left, refusals of a token, of a user, of a client, and of the rest.

use std::time::Duration;

use bearerd::demo::{Counts, Misbehaviour, RETRY_AFTER_SECONDS, Times, fluent};

use crate::{
    outcomes::{Came, Row, SETTINGS, Setting, meet, stage},
    stage::{Bearerd, PATIENT, Stage, eventually},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_never_left_and_what_was_refused_otherwise_spends_nothing_and_is_tried_again() {
    let rows = [
        Row::NeverLeft,
        Row::Answer(Misbehaviour::ErrorIn200),
        Row::Answer(Misbehaviour::Redirect),
        Row::Answer(Misbehaviour::RateLimited429),
        Row::Answer(Misbehaviour::InvalidClient),
    ];
    for setting in SETTINGS {
        for row in rows {
            let came = meet(setting, row).await;
            let expected = Came::spending(2, ["503 token_unavailable", "200", "200"]);
            assert_eq!(came, expected, "{setting:?}, {row:?}");
        }
    }
}

/// Calls every ten seconds; the answers' words.
async fn call_for(minutes: u64, stage: &Stage, bearerd: &Bearerd) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..6 * minutes {
        stage.clock.advance(Duration::from_secs(10));
        words.push(bearerd.hasty().await.word());
        // What this call caused has come to its end before the clock moves on.
        eventually("nothing is under way", || bearerd.status().state != "renewing").await;
    }
    words.dedup();
    words
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_refresh_token_ends_in_a_sign_in_or_in_login_required_and_is_never_sent_again() {
    for setting in SETTINGS {
        let (stage, bearerd) = stage(setting, "").await;
        stage.apis.fluent().revoke_family();
        let before = stage.fluent_counts();
        let words = call_for(10, &stage, &bearerd).await;
        let after = stage.fluent_counts();
        let refreshes = after.refresh_token - before.refresh_token;
        assert_eq!(after.reuses, 0, "{setting:?}");
        if setting.signs_in {
            assert_eq!(words, ["200"], "{setting:?}");
            assert_eq!(after.password - before.password, 1, "{setting:?}");
        } else {
            assert_eq!(words, ["503 login_required"], "{setting:?}");
            assert_eq!(refreshes, 1, "{setting:?}: one refusal is enough");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_tried_at_most_seven_times_in_an_hour() {
    let stage = Stage::new().await;
    let yaml = stage.signing_in("").replace(fluent::PASSWORD, "wrong");
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.hasty().await.word(), "503 login_required");
    assert_eq!(call_for(60, &stage, &bearerd).await, ["503 login_required"]);
    let sign_ins = stage.fluent_counts().password;
    assert!((2..=7).contains(&sign_ins), "{sign_ins}");
    assert!(bearerd.stop().await);

    // A restart is no way around the back-off, and a mended password is tried within a minute of one.
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.hasty().await.status, 503);
    assert_eq!(stage.fluent_counts().password, sign_ins);
    assert!(bearerd.stop().await);
    let bearerd = stage.start(&stage.signing_in("")).await;
    bearerd.hasty().await;
    stage.clock.advance(Duration::from_secs(61));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_is_tried_at_most_twenty_times_in_an_hour_and_named() {
    let stage = Stage::new().await;
    let yaml = stage.signing_in("").replace(fluent::API_CLIENT.secret, "wrong");
    let bearerd = stage.start(&yaml).await;
    let answer = bearerd.hasty().await;
    assert_eq!(answer.word(), "503 token_unavailable");
    let detail = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(
        detail.contains("client_secret"),
        "it says which setting is wrong: {detail}"
    );
    assert_eq!(call_for(60, &stage, &bearerd).await, ["503 token_unavailable"]);
    let requests = stage.fluent_counts().token_requests();
    assert!((2..=20).contains(&requests), "{requests}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429s_retry_after_is_obeyed_and_told() {
    for signs_in in [true, false] {
        let (stage, bearerd) = stage(Setting { signs_in, grace: false }, "").await;
        stage.expire();
        stage
            .apis
            .fluent()
            .misbehave(Misbehaviour::RateLimited429, Times::Next(1));
        let answer = bearerd.hasty().await;
        assert_eq!(answer.word(), "503 token_unavailable");
        assert_eq!(answer.header("retry-after"), Some(&*RETRY_AFTER_SECONDS.to_string()));

        let refused = stage.fluent_counts().token_requests();
        stage
            .clock
            .advance(Duration::from_millis(RETRY_AFTER_SECONDS * 1000 - 1));
        bearerd
            .until("it could have asked", |status| status.state == "failing")
            .await;
        assert_eq!(stage.fluent_counts().token_requests(), refused);
        stage.clock.advance(Duration::from_millis(1));
        assert_eq!(bearerd.hasty().await.word(), "200");
        let Counts { spends, reuses, .. } = stage.fluent_counts();
        assert_eq!((spends, reuses), (if signs_in { 1 } else { 2 }, 0));
    }
}
