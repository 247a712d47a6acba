//! Flowlu, as its document describes it.

use std::time::Duration;

use bearerd::demo::flowlu::{API_KEY, CLIENT_ID, PASSWORD, USERNAME};
use http::StatusCode;
use serde_json::json;

use crate::client::{Ask, Stage, encoded, flowlu_password};

const LIST: &str = "/api/v1/module/crm/lead/list";
const CREATE: &str = "/api/v1/module/crm/lead/create";

#[tokio::test]
async fn the_key_stands_in_the_query_of_a_get_and_in_the_form_of_a_post() {
    let stage = Stage::new().await;
    let flowlu = stage.apis.flowlu();
    let keyed = encoded(&[("page", "1"), ("api_key", API_KEY)]);
    let form = [("name", "A lead"), ("api_key", API_KEY)];
    let list = stage
        .client
        .send(Ask::get(flowlu, &format!("{LIST}?{keyed}")).empty())
        .await;
    assert_eq!(list.status, StatusCode::OK);
    assert_eq!(list.json()["query"], json!([["page", "1"]]), "the key is not echoed");
    assert_eq!(
        stage.client.send(Ask::post(flowlu, CREATE).form(&form)).await.status,
        StatusCode::OK
    );
    let as_json = Ask::post(flowlu, &format!("{CREATE}?{keyed}")).json(&json!({"name": "A lead"}));
    assert_eq!(stage.client.send(as_json).await.status, StatusCode::OK);

    for refused in [
        Ask::get(flowlu, LIST).empty(),
        Ask::get(flowlu, &format!("{LIST}?{}&%61pi_key=own", keyed)).empty(),
        Ask::get(flowlu, &format!("{LIST}?api_key=wrong")).empty(),
        Ask::get(flowlu, &format!("{LIST}?{keyed}")).bearer("own").empty(),
        Ask::post(flowlu, &format!("{CREATE}?{keyed}")).form(&[("name", "A lead")]),
        Ask::post(flowlu, &format!("{CREATE}?api_key=own")).form(&form),
    ] {
        let shown = refused.uri().to_string();
        let answer = stage.client.send(refused).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{shown}");
    }
    assert_eq!(flowlu.counts().unauthorised, 6);
}

#[tokio::test]
async fn a_token_without_a_lifetime_is_used_as_a_basic_password() {
    let stage = Stage::new().await;
    let flowlu = stage.apis.flowlu();
    let signed_in = stage.client.send(flowlu_password(&stage.apis)).await;
    assert_eq!(signed_in.status, StatusCode::OK);
    let members: Vec<String> = signed_in.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(members, ["access_token", "token_type"]);
    let access = signed_in.text("access_token");
    let list = || Ask::get(flowlu, LIST);
    assert_eq!(
        stage.client.send(list().basic("bearer", &access).empty()).await.status,
        StatusCode::OK
    );
    assert_eq!(
        stage.client.send(list().basic("else", &access).empty()).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        stage.client.send(list().bearer(&access).empty()).await.status,
        StatusCode::UNAUTHORIZED
    );
    stage.clock.advance(Duration::from_secs(20));
    let expired = stage.client.send(list().basic("bearer", &access).empty()).await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn refusals_are_in_russian_and_misspelt() {
    let stage = Stage::new().await;
    let token = |grant: &str, password: &str| {
        Ask::post(stage.apis.flowlu(), "/oauth/token").form(&[
            ("grant_type", grant),
            ("username", USERNAME),
            ("password", password),
            ("client_id", CLIENT_ID),
        ])
    };
    let wrong = stage.client.send(token("password", "wrong")).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        wrong.json(),
        json!({"error": "invalid_grant", "error_descrption": "Неверные имя пользователя или пароль"})
    );
    let odd = stage.client.send(token("refresh_token", PASSWORD)).await;
    assert_eq!(odd.text("error"), "invalid_request");
}
