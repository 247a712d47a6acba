//! Each misbehaviour does what its name says, and no more.

use std::time::Duration;

use bearerd::demo::{Misbehaviour, OVER_LONG, RETRY_AFTER_SECONDS, Times, fluent::API_CLIENT};
use http::{
    StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::client::{
    Answer, Ask, Client, Stage, device_token, flowlu_password, fluent_password, fluent_refresh, pos_login,
};

/// What a refresh met, and whether its refresh token was spent by it.
struct Met {
    answer: Option<Answer>,
    spent: bool,
}

/// Signs in at Fluent, refreshes into the misbehaviour, and then asks the counters what happened.
async fn meet(stage: &Stage, misbehaviour: Misbehaviour) -> Met {
    let signed_in = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let fluent = stage.apis.fluent();
    let before = fluent.counts();
    fluent.misbehave(misbehaviour, Times::Next(1));
    let refresh = fluent_refresh(&stage.apis, API_CLIENT, &signed_in.text("refresh_token"));
    let answer = stage.client.try_send(refresh).await.ok();
    let after = fluent.counts();
    assert_eq!(after.refresh_token, before.refresh_token + 1, "{misbehaviour}");
    let again = fluent_refresh(&stage.apis, API_CLIENT, &signed_in.text("refresh_token"));
    let again = stage.client.send(again).await;
    let spent = fluent.counts().reuses == before.reuses + 1;
    assert_eq!(
        spent,
        again.status != StatusCode::OK,
        "{misbehaviour}: the next one is as strict as ever"
    );
    Met { answer, spent }
}

#[tokio::test]
async fn replies_are_lost_before_or_after_the_spend() {
    for stage in [Stage::new().await, http1().await] {
        let lost = meet(&stage, Misbehaviour::LostReply).await;
        assert!(lost.answer.is_none() && lost.spent);
        let lost = meet(&stage, Misbehaviour::LostBefore).await;
        assert!(lost.answer.is_none() && !lost.spent);
        let cut = meet(&stage, Misbehaviour::Truncated).await;
        assert!(cut.answer.is_none() && cut.spent);
    }
}

#[tokio::test]
async fn a_truncated_reply_starts_well() {
    for stage in [Stage::new().await, http1().await] {
        stage.apis.fluent().misbehave(Misbehaviour::Truncated, Times::Next(1));
        let mut response = stage.client.open(fluent_password(&stage.apis, API_CLIENT)).await;
        assert_eq!(response.status(), StatusCode::OK);
        let promised: usize = response.headers()[CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        let mut came = 0;
        let end = loop {
            match response.frame().await {
                Some(Ok(frame)) => came += frame.into_data().unwrap().len(),
                end => break end,
            }
        };
        assert!(end.is_some_and(|end| end.is_err()));
        assert!(came > 0 && came < promised, "{came} of {promised}");
    }
}

#[tokio::test]
async fn a_dripping_reply_comes_byte_by_byte() {
    // Slow enough that neither side's buffers join its bytes.
    let stage = Stage::with(|options| options.drip = Duration::from_millis(10)).await;
    stage.apis.flowlu().misbehave(Misbehaviour::Drip, Times::Next(1));
    let mut response = stage.client.open(flowlu_password(&stage.apis)).await;
    let (mut frames, mut came) = (0, 0);
    while let Some(frame) = response.frame().await {
        frames += 1;
        came += frame.unwrap().into_data().unwrap().len();
    }
    assert!(frames > came / 2, "{came} bytes in {frames} frames");
}

async fn http1() -> Stage {
    let mut stage = Stage::new().await;
    stage.client = Client::http1(stage.apis.ca_pem());
    stage
}

#[tokio::test]
async fn a_hanging_api_spends_and_says_nothing() {
    let stage = Stage::new().await;
    let signed_in = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let fluent = stage.apis.fluent();
    fluent.misbehave(Misbehaviour::Hang, Times::Next(1));
    let refresh = fluent_refresh(&stage.apis, API_CLIENT, &signed_in.text("refresh_token"));
    let mut answer = std::pin::pin!(stage.client.try_send(refresh));
    let spent = async {
        while fluent.counts().spends == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = &mut answer => panic!("{answer:?}"),
        () = spent => {}
    }
    let silence = timeout(Duration::from_millis(200), answer).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn an_api_may_hang_before_it_spends() {
    let stage = Stage::new().await;
    let signed_in = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let fluent = stage.apis.fluent();
    fluent.misbehave(Misbehaviour::HangBefore, Times::Next(1));
    let refresh = || fluent_refresh(&stage.apis, API_CLIENT, &signed_in.text("refresh_token"));
    {
        let mut answer = std::pin::pin!(stage.client.try_send(refresh()));
        let read = async {
            while fluent.counts().refresh_token == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            answer = &mut answer => panic!("{answer:?}"),
            () = read => {}
        }
        let silence = timeout(Duration::from_millis(200), answer).await;
        assert!(silence.is_err());
    }
    assert_eq!((fluent.counts().refresh_token, fluent.counts().spends), (1, 0));
    assert_eq!(stage.client.send(refresh()).await.status, 200);
}

#[tokio::test]
async fn refusals_spend_nothing() {
    let stage = Stage::new().await;
    let retry_after = RETRY_AFTER_SECONDS.to_string();
    for (misbehaviour, status, error) in [
        (Misbehaviour::Status500, 500, Some("server_error")),
        (Misbehaviour::Status503RetryAfter, 503, Some("temporarily_unavailable")),
        (Misbehaviour::RateLimited429, 429, Some("slow_down")),
        (Misbehaviour::InvalidClient, 401, Some("invalid_client")),
        (Misbehaviour::ErrorIn200, 200, Some("temporarily_unavailable")),
        (Misbehaviour::Redirect, 307, None),
    ] {
        let met = meet(&stage, misbehaviour).await;
        let answer = met.answer.unwrap();
        assert!(!met.spent, "{misbehaviour}");
        assert_eq!(answer.status, status, "{misbehaviour}");
        match error {
            Some(error) => assert_eq!(answer.text("error"), error),
            None => assert!(
                answer.headers[LOCATION]
                    .to_str()
                    .unwrap()
                    .starts_with("https://elsewhere.")
            ),
        }
        let says_when = matches!(status, 429 | 503);
        let header = answer.headers.get(RETRY_AFTER).map(|value| value.to_str().unwrap());
        assert_eq!(header, says_when.then_some(&*retry_after), "{misbehaviour}");
    }
}

#[tokio::test]
async fn odd_replies_spend_all_the_same() {
    let stage = Stage::new().await;
    let lifetime = |answer: &Answer| answer.json().get("expires_in").cloned();
    type Check = fn(&Answer, Option<Value>) -> bool;
    let checks: [(Misbehaviour, Check); 9] = [
        (Misbehaviour::TextLifetime, |_, lifetime| lifetime == Some(json!("20"))),
        (Misbehaviour::MissingLifetime, |_, lifetime| lifetime.is_none()),
        (Misbehaviour::ZeroLifetime, |_, lifetime| lifetime == Some(json!(0))),
        (Misbehaviour::NegativeLifetime, |_, lifetime| {
            lifetime == Some(json!(-1))
        }),
        (Misbehaviour::HugeLifetime, |_, lifetime| {
            lifetime == Some(json!(u64::MAX))
        }),
        (Misbehaviour::FractionalLifetime, |_, lifetime| {
            lifetime == Some(json!(19.5))
        }),
        (Misbehaviour::Status201, |answer, _| {
            answer.status == StatusCode::CREATED
        }),
        (Misbehaviour::NullAccessToken, |answer, _| {
            answer.json()["access_token"].is_null() && answer.json()["refresh_token"].is_string()
        }),
        (Misbehaviour::EmptyAccessToken, |answer, _| {
            answer.json()["access_token"] == "" && answer.json()["refresh_token"].is_string()
        }),
    ];
    for (misbehaviour, check) in checks {
        let met = meet(&stage, misbehaviour).await;
        let answer = met.answer.unwrap();
        assert!(met.spent, "{misbehaviour}");
        assert!(check(&answer, lifetime(&answer)), "{misbehaviour}: {}", answer.status);
    }
}

#[tokio::test]
async fn unreadable_replies_spend_all_the_same() {
    let stage = Stage::new().await;
    let met = meet(&stage, Misbehaviour::Html).await;
    let page = met.answer.unwrap();
    assert!(met.spent && page.status == StatusCode::OK);
    assert_eq!(page.headers[CONTENT_TYPE], "text/html; charset=utf-8");

    let met = meet(&stage, Misbehaviour::OverLong).await;
    assert!(met.spent && met.answer.unwrap().body.len() > OVER_LONG);

    let met = meet(&stage, Misbehaviour::Bom).await;
    let marked = met.answer.unwrap().body;
    assert!(met.spent);
    let rest = marked.strip_prefix("\u{feff}".as_bytes()).unwrap();
    assert!(serde_json::from_slice::<Value>(rest).unwrap()["access_token"].is_string());

    let met = meet(&stage, Misbehaviour::Drip).await;
    assert!(met.spent);
    assert!(
        met.answer.unwrap().json()["access_token"].is_string(),
        "it comes whole in the end"
    );
}

#[tokio::test]
async fn without_a_new_refresh_token_the_old_one_stays_good() {
    let stage = Stage::new().await;
    let met = meet(&stage, Misbehaviour::NoNewRefreshToken).await;
    assert!(!met.spent);
    assert!(met.answer.unwrap().json().get("refresh_token").is_none());
    stage
        .apis
        .pos()
        .misbehave(Misbehaviour::NoNewRefreshToken, Times::Next(1));
    let signed_in = stage.client.send(pos_login(&stage.apis)).await;
    assert!(signed_in.json().get("refresh_token").is_none());
}

#[tokio::test]
async fn an_api_misbehaves_as_often_as_it_is_told_and_alone() {
    let stage = Stage::new().await;
    let (fluent, pos) = (stage.apis.fluent(), stage.apis.pos());
    fluent.misbehave(Misbehaviour::Status500, Times::Next(2));
    fluent.misbehave(Misbehaviour::Redirect, Times::Always);
    let mut met = Vec::new();
    for _ in 0..4 {
        met.push(
            stage
                .client
                .send(fluent_password(&stage.apis, API_CLIENT))
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(met, [500, 500, 307, 307]);
    assert_eq!(
        stage.client.send(pos_login(&stage.apis)).await.status,
        StatusCode::CREATED
    );
    assert_eq!(pos.counts().password, 1);
    fluent.behave();
    let good = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    assert_eq!(good.status, StatusCode::OK);
}

#[tokio::test]
async fn other_spellings_are_distorted_too() {
    let stage = Stage::new().await;
    let (flow, flowlu) = (stage.apis.flow_retail(), stage.apis.flowlu());
    flow.misbehave(Misbehaviour::TextLifetime, Times::Next(1));
    let device = stage
        .client
        .send(device_token(&stage.apis, stage.apis.device_seed()))
        .await;
    assert_eq!(device.json()["expiresIn"], "20");
    flow.misbehave(Misbehaviour::NullAccessToken, Times::Next(1));
    let refresh = device.text("refreshToken");
    let device = stage.client.send(device_token(&stage.apis, &refresh)).await;
    assert!(device.json()["token"].is_null());
    flowlu.misbehave(Misbehaviour::ZeroLifetime, Times::Next(1));
    let signed_in = stage.client.send(flowlu_password(&stage.apis)).await;
    assert_eq!(signed_in.json()["expires_in"], 0);
}

#[tokio::test]
async fn good_credentials_are_refused_when_it_is_told_to() {
    let stage = Stage::new().await;
    let fluent = stage.apis.fluent();
    let signed_in = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let access = signed_in.text("access_token");
    fluent.refuse(Times::Next(2));
    let mut met = Vec::new();
    for _ in 0..3 {
        let ask = Ask::get(fluent, "/api/v4.1/order/1").bearer(&access).empty();
        met.push(stage.client.send(ask).await.status.as_u16());
    }
    assert_eq!(met, [401, 401, 200]);
    let counts = fluent.counts();
    assert_eq!(
        (counts.unauthorised, counts.refused_at_will, counts.authorised),
        (2, 2, 1)
    );
}
