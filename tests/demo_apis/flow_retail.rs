//! Flow Retail, as its document describes it.

use bearerd::demo::flow_retail::{APP_ID, DEVICE_CODE, INTEGRATION_TOKEN, OTHER_TENANT, TENANT, USERS};
use http::StatusCode;
use serde_json::json;

use crate::client::{Ask, Stage, device_token};

fn reasons(tenant: &str) -> String {
    format!("/v2/tenants/{tenant}/reasons")
}

#[tokio::test]
async fn the_integration_token_opens_its_own_tenant_only() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let ask = |tenant: &str| Ask::get(flow, &reasons(tenant));

    let answer = stage.client.send(ask(TENANT).bearer(INTEGRATION_TOKEN).empty()).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["authorized_as"], "integration");
    assert!(!String::from_utf8_lossy(&answer.body).contains(INTEGRATION_TOKEN));

    let other = stage
        .client
        .send(ask(OTHER_TENANT).bearer(INTEGRATION_TOKEN).empty())
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    let wrong = stage.client.send(ask(TENANT).bearer("made up").empty()).await;
    assert_eq!(wrong.status, StatusCode::UNAUTHORIZED);
    let twice = ask(TENANT).bearer(INTEGRATION_TOKEN).bearer("the caller's own");
    assert_eq!(stage.client.send(twice.empty()).await.status, StatusCode::UNAUTHORIZED);

    let counts = flow.counts();
    assert_eq!((counts.authorised, counts.forbidden, counts.unauthorised), (1, 1, 2));
}

#[tokio::test]
async fn a_users_token_is_exchanged_for_one_of_user_and_tenant() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let [kari, ola] = USERS;
    let account = |tenant: &str, token: &str| {
        Ask::post(flow, &format!("/v2/tenants/{tenant}/account"))
            .bearer(token)
            .empty()
    };

    let answer = stage.client.send(account(OTHER_TENANT, ola.token)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json()["expiresIn"], 20);
    let access = answer.text("accessToken");
    let data = |tenant: &str| Ask::get(flow, &reasons(tenant)).bearer(&access).empty();
    let own = stage.client.send(data(OTHER_TENANT)).await;
    assert_eq!(
        (&own.json()["authorized_as"], &own.json()["tenant"]),
        (&json!("ola"), &json!(OTHER_TENANT))
    );
    assert_eq!(stage.client.send(data(TENANT)).await.status, StatusCode::FORBIDDEN);

    let foreign = stage.client.send(account(OTHER_TENANT, kari.token)).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    let nobody = stage.client.send(account(TENANT, "made up")).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
    // The user's own token is not for data.
    let direct = Ask::get(flow, &reasons(TENANT)).bearer(kari.token).empty();
    assert_eq!(stage.client.send(direct).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(flow.counts().user_token, 3);
}

#[tokio::test]
async fn a_device_is_linked_and_its_refresh_token_rotates() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let link = |code: &str| Ask::post(flow, &format!("/v2/device/{code}/link")).empty();

    assert_eq!(stage.client.send(link("NO-SUCH")).await.status, StatusCode::NOT_FOUND);
    let linked = stage.client.send(link(DEVICE_CODE)).await;
    assert_eq!(linked.status, StatusCode::OK);
    let first = linked.text("refreshToken");
    let answer = stage.client.send(device_token(&stage.apis, &first)).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_ne!(answer.text("refreshToken"), first);
    let data = Ask::get(flow, &reasons(TENANT)).bearer(&answer.text("token"));
    assert_eq!(stage.client.send(data.empty()).await.status, StatusCode::OK);

    let reuse = stage.client.send(device_token(&stage.apis, &first)).await;
    assert_eq!(
        (reuse.status, reuse.text("error").as_str()),
        (StatusCode::UNAUTHORIZED, "invalid_grant")
    );
    let counts = flow.counts();
    assert_eq!(
        (counts.spends, counts.reuses, counts.families_revoked, counts.steps),
        (1, 1, 1, 2)
    );

    let seed = stage
        .client
        .send(device_token(&stage.apis, stage.apis.device_seed()))
        .await;
    assert_eq!(seed.status, StatusCode::OK, "the seed is of another family");
}

#[tokio::test]
async fn a_device_token_request_is_json_from_the_right_app() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let seed = stage.apis.device_seed();
    let as_form = Ask::post(flow, "/v2/device/token").form(&[("appId", APP_ID), ("refreshToken", seed)]);
    assert_eq!(stage.client.send(as_form).await.status, StatusCode::BAD_REQUEST);
    let other_app = Ask::post(flow, "/v2/device/token").json(&json!({"appId": "else", "refreshToken": seed}));
    assert_eq!(stage.client.send(other_app).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(flow.counts().spends, 0);
    assert_eq!(
        stage.client.send(device_token(&stage.apis, seed)).await.status,
        StatusCode::OK
    );
}
