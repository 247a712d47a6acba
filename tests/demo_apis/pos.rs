//! The point of sale, as its document describes it.

use bearerd::demo::{
    PosRefresh,
    pos::{CLIENT_ID, CLIENT_SECRET, PASSWORD, USER_NAME},
};
use http::StatusCode;
use serde_json::json;

use crate::client::{Ask, Stage, pos_login};

#[tokio::test]
async fn an_account_is_made_logs_in_and_calls() {
    let stage = Stage::new().await;
    let pos = stage.apis.pos();
    let account = || {
        let body = json!({"user_name": "nina", "password": "s:crét", "grant_type": "password"});
        Ask::post(pos, "/users").json(&body)
    };
    assert_eq!(stage.client.send(account()).await.status, StatusCode::CREATED);
    assert_eq!(stage.client.send(account()).await.status, StatusCode::CONFLICT);
    let incomplete = Ask::post(pos, "/users").form(&[("user_name", "per"), ("password", "x")]);
    assert_eq!(stage.client.send(incomplete).await.status, StatusCode::BAD_REQUEST);

    let fields = [("user_name", "nina"), ("password", "s:crét")];
    let login = Ask::post(pos, "/auth/token").basic("nina", "s:crét").form(&fields);
    let answer = stage.client.send(login).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let reply = answer.json();
    assert_eq!(
        (&reply["token_type"], &reply["expires_in"]),
        (&json!("Bearer"), &json!(20))
    );
    let access = answer.text("access_token");
    let list = stage
        .client
        .send(Ask::get(pos, "/dishes").bearer(&access).empty())
        .await;
    assert_eq!(
        (list.status, list.json()["authorized_as"].as_str()),
        (StatusCode::OK, Some("nina"))
    );
    let dish = Ask::post(pos, "/dishes")
        .bearer(&access)
        .json(&json!({"name": "Fårikål"}));
    assert_eq!(stage.client.send(dish).await.status, StatusCode::CREATED);
    assert_eq!(pos.counts().steps, 3);
}

#[tokio::test]
async fn a_login_needs_both_the_header_and_the_body() {
    let stage = Stage::new().await;
    let login = || Ask::post(stage.apis.pos(), "/auth/token");
    let body = json!({"user_name": USER_NAME, "password": PASSWORD});
    let wrong = json!({"user_name": USER_NAME, "password": "12345"});
    let basic = || login().basic(CLIENT_ID, CLIENT_SECRET);
    for (request, status) in [
        (login().json(&body), StatusCode::UNAUTHORIZED),
        (login().basic(CLIENT_ID, "wrong").json(&body), StatusCode::UNAUTHORIZED),
        (basic().json(&wrong), StatusCode::UNAUTHORIZED),
        (basic().empty(), StatusCode::BAD_REQUEST),
        (basic().json(&body), StatusCode::CREATED),
        (login().basic(USER_NAME, PASSWORD).json(&body), StatusCode::CREATED),
    ] {
        assert_eq!(stage.client.send(request).await.status, status);
    }
}

#[tokio::test]
async fn the_refresh_token_stands_in_the_header_as_it_was_chosen() {
    for (form, right, wrong) in [(PosRefresh::Bearer, "Bearer ", ""), (PosRefresh::Raw, "", "Bearer ")] {
        let stage = Stage::with(|options| options.pos_refresh = form).await;
        let signed_in = stage.client.send(pos_login(&stage.apis)).await;
        let first = signed_in.text("refresh_token");
        let refresh = |prefix: &str, token: &str| {
            Ask::post(stage.apis.pos(), "/auth/refresh-token")
                .header("authorization", &format!("{prefix}{token}"))
                .empty()
        };
        let odd = stage.client.send(refresh(wrong, &first)).await;
        assert_eq!((odd.status, odd.body.len()), (StatusCode::UNAUTHORIZED, 0), "{form}");
        let renewed = stage.client.send(refresh(right, &first)).await;
        assert_eq!(
            renewed.status,
            StatusCode::CREATED,
            "{form}: the wrong form spent nothing"
        );
        assert_ne!(renewed.text("refresh_token"), first);
        assert_ne!(renewed.text("access_token"), signed_in.text("access_token"));

        let reuse = stage.client.send(refresh(right, &first)).await;
        assert_eq!((reuse.status, reuse.body.len()), (StatusCode::UNAUTHORIZED, 0));
        let newest = refresh(right, &renewed.text("refresh_token"));
        assert_eq!(stage.client.send(newest).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(stage.apis.pos().counts().reuses, 1);
    }
}
