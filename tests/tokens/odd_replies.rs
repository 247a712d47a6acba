//! Law 5: the refresh token first, whatever else is wrong with a success.

use bearerd::demo::{Misbehaviour, Times};

use crate::{
    outcomes::{BACK_OFF, Came, Row, SETTINGS, Setting, meet, stage},
    stage::{PATIENT, Stage},
};

const WORKS: [&str; 3] = ["200"; 3];

async fn each(misbehaviours: &[Misbehaviour], expected: impl Fn(Setting) -> Came) {
    for setting in SETTINGS {
        for misbehaviour in misbehaviours {
            let came = meet(setting, Row::Answer(*misbehaviour)).await;
            assert_eq!(came, expected(setting), "{setting:?}, {misbehaviour}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_an_odd_success_is_a_success() {
    let odd = [
        Misbehaviour::TextLifetime,
        Misbehaviour::FractionalLifetime,
        Misbehaviour::Status201,
        Misbehaviour::Bom,
        Misbehaviour::Drip,
        Misbehaviour::TwoChunks,
    ];
    each(&odd, |_| Came::spending(2, WORKS)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_reply_of_64_mebibytes_loses_no_refresh_token() {
    let stage = Stage::new().await;
    let yaml = stage.seeded(", spend_deadline: 60s, lease: 120s").await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    stage.apis.fluent().misbehave(Misbehaviour::Huge, Times::Next(1));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!((stage.fluent_counts().spends, stage.fluent_counts().reuses), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_lifetime_that_is_no_lifetime_is_not_said() {
    let unsaid = [
        Misbehaviour::MissingLifetime,
        Misbehaviour::ZeroLifetime,
        Misbehaviour::NegativeLifetime,
        Misbehaviour::HugeLifetime,
    ];
    // Used until the API rejects it, and then renewed.
    let expected = |_| Came {
        rejected: 1,
        ..Came::spending(2, WORKS)
    };
    each(&unsaid, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_refresh_token_beside_no_access_token_is_saved_and_used_next() {
    let none = [Misbehaviour::NullAccessToken, Misbehaviour::EmptyAccessToken];
    each(&none, |_| Came::spending(3, ["503 token_unavailable", "200", "200"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_refresh_token_beside_no_access_token_survives_a_restart() {
    let stage = Stage::new().await;
    let yaml = stage.seeded("").await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    stage
        .apis
        .fluent()
        .misbehave(Misbehaviour::NullAccessToken, Times::Next(1));
    assert_eq!(bearerd.hasty().await.word(), "503 token_unavailable");
    assert!(bearerd.stop().await);

    stage.clock.advance(BACK_OFF);
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!((stage.fluent_counts().spends, stage.fluent_counts().reuses), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_reply_without_refresh_token_keeps_the_old_one_unless_it_is_single_use() {
    // The preset says `single_use`, so its chain ends and the next need is a sign-in.
    each(&[Misbehaviour::NoNewRefreshToken], |setting| match setting.signs_in {
        true => Came {
            sign_ins: 1,
            ..Came::spending(1, WORKS)
        },
        false => Came::spending(2, WORKS),
    })
    .await;

    let setting = Setting {
        signs_in: false,
        grace: false,
    };
    let (stage, bearerd) = stage(setting, ", single_use: true").await;
    stage.expire();
    stage
        .apis
        .fluent()
        .misbehave(Misbehaviour::NoNewRefreshToken, Times::Next(1));
    assert_eq!(bearerd.hasty().await.word(), "200");
    stage.expire();
    assert_eq!(bearerd.hasty().await.word(), "503 login_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn law_5_a_reply_in_two_chunks_ten_seconds_apart_loses_no_refresh_token() {
    let stage = Stage::with(|options| options.pause = std::time::Duration::from_secs(10)).await;
    let yaml = stage.seeded(", spend_deadline: 15s, lease: 30s").await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    stage.apis.fluent().misbehave(Misbehaviour::TwoChunks, Times::Next(1));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.expire();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!((stage.fluent_counts().spends, stage.fluent_counts().reuses), (3, 0));
}
