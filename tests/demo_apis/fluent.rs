//! Fluent Commerce, as its document describes it.

use std::time::Duration;

use bearerd::demo::fluent::{API_CLIENT, INTEGRATION_CLIENT, PASSWORD, USERNAME};
use http::{Method, StatusCode};
use serde_json::json;

use crate::client::{Ask, Stage, encoded, fluent_password, fluent_refresh, fluent_token};

#[tokio::test]
async fn both_clients_sign_in_refresh_and_call() {
    let stage = Stage::new().await;
    let fluent = stage.apis.fluent();
    for (client, retailer, roles) in [(API_CLIENT, 1, json!([])), (INTEGRATION_CLIENT, 5, json!(["RETAILER"]))] {
        let signed_in = stage.client.send(fluent_password(&stage.apis, client)).await;
        assert_eq!(signed_in.status, StatusCode::OK);
        let reply = signed_in.json();
        assert_eq!(
            (
                &reply["scope"],
                &reply["expires_in"],
                &reply["Retailer_id"],
                &reply["Roles"]
            ),
            (&json!(client.scope), &json!(20), &json!(retailer), &roles)
        );
        let refresh = signed_in.text("refresh_token");
        let renewed = stage.client.send(fluent_refresh(&stage.apis, client, &refresh)).await;
        assert_eq!(renewed.status, StatusCode::OK);

        let order = Ask::get(fluent, "/api/v4.1/order/1001").bearer(&renewed.text("access_token"));
        assert_eq!(stage.client.send(order.empty()).await.status, StatusCode::OK);
        let query = Ask::post(fluent, "/graphql").bearer(&renewed.text("access_token"));
        let answer = stage.client.send(query.json(&json!({"query": "{ me { id } }"}))).await;
        assert_eq!(
            (answer.status, answer.json()["authorized_as"].as_str()),
            (StatusCode::OK, Some(USERNAME))
        );
    }
    let counts = fluent.counts();
    assert_eq!((counts.password, counts.refresh_token, counts.spends), (2, 2, 2));
    assert_eq!((counts.authorised, counts.unauthorised, counts.reuses), (4, 0, 0));
}

#[tokio::test]
async fn reuse_revokes_the_family() {
    let stage = Stage::new().await;
    let fluent = stage.apis.fluent();
    let first = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let spent = first.text("refresh_token");
    let second = stage.client.send(fluent_refresh(&stage.apis, API_CLIENT, &spent)).await;

    let reuse = stage.client.send(fluent_refresh(&stage.apis, API_CLIENT, &spent)).await;
    assert_eq!(reuse.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        reuse.json(),
        json!({"error": "invalid_grant", "error_description": "Invalid refresh token"})
    );
    let newest = fluent_refresh(&stage.apis, API_CLIENT, &second.text("refresh_token"));
    assert_eq!(stage.client.send(newest).await.status, StatusCode::BAD_REQUEST);
    let data = Ask::get(fluent, "/api/v4.1/order/1").bearer(&second.text("access_token"));
    assert_eq!(stage.client.send(data.empty()).await.status, StatusCode::UNAUTHORIZED);
    let counts = fluent.counts();
    assert_eq!((counts.reuses, counts.families_revoked, counts.with_revoked), (1, 1, 1));
}

#[tokio::test]
async fn refusals_have_the_documented_shapes() {
    let stage = Stage::new().await;
    let with = |name: &'static str, value: &'static str| {
        let mut parameters = vec![
            ("username", USERNAME),
            ("password", PASSWORD),
            ("scope", API_CLIENT.scope),
            ("client_id", API_CLIENT.id),
            ("client_secret", API_CLIENT.secret),
            ("grant_type", "password"),
        ];
        for parameter in &mut parameters {
            if parameter.0 == name {
                parameter.1 = value;
            }
        }
        fluent_token(&stage.apis, &parameters)
    };
    let bad_password = stage.client.send(with("password", "wrong")).await;
    assert_eq!(bad_password.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        bad_password.json(),
        json!({"errors": [{"code": "400", "message": {"error": "invalid_grant", "error_description": "Bad credentials"}}]})
    );
    let bad_secret = stage.client.send(with("client_secret", "wrong")).await;
    assert_eq!(bad_secret.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        bad_secret.json(),
        json!({"error": "invalid_client", "error_description": "Bad client credentials"})
    );
    let other_scope = stage.client.send(with("scope", INTEGRATION_CLIENT.scope)).await;
    assert_eq!(other_scope.text("error"), "invalid_scope");
    let odd_grant = stage.client.send(with("grant_type", "client_credentials")).await;
    assert_eq!(odd_grant.text("error"), "unsupported_grant_type");
    let no_token = Ask::get(stage.apis.fluent(), "/api/v4.1/order/1").empty();
    let unauthorised = stage.client.send(no_token).await;
    assert_eq!(unauthorised.status, StatusCode::UNAUTHORIZED);
    assert!(unauthorised.json()["errors"][0]["message"].is_string());
}

#[tokio::test]
async fn parameters_belong_in_the_query_and_only_there() {
    let stage = Stage::new().await;
    let fluent = stage.apis.fluent();
    let fields = [
        ("username", USERNAME),
        ("password", PASSWORD),
        ("scope", API_CLIENT.scope),
        ("client_id", API_CLIENT.id),
        ("client_secret", API_CLIENT.secret),
        ("grant_type", "password"),
    ];
    let in_form = Ask::post(fluent, "/oauth/token").form(&fields);
    assert_eq!(stage.client.send(in_form).await.status, StatusCode::BAD_REQUEST);
    let in_both = Ask::post(fluent, &format!("/oauth/token?{}", encoded(&fields))).form(&fields);
    assert_eq!(stage.client.send(in_both).await.status, StatusCode::BAD_REQUEST);
    let mut read = fluent_password(&stage.apis, API_CLIENT);
    *read.method_mut() = Method::GET;
    assert_eq!(stage.client.send(read).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(fluent.counts().families, 0);
}

#[tokio::test]
async fn tokens_expire_and_are_revoked_at_the_server() {
    let stage = Stage::new().await;
    let fluent = stage.apis.fluent();
    let signed_in = stage.client.send(fluent_password(&stage.apis, API_CLIENT)).await;
    let data = |token: &str| Ask::get(fluent, "/api/v4.1/order/1").bearer(token).empty();
    let access = signed_in.text("access_token");
    assert_eq!(stage.client.send(data(&access)).await.status, StatusCode::OK);
    stage.clock.advance(Duration::from_secs(20));
    assert_eq!(stage.client.send(data(&access)).await.status, StatusCode::UNAUTHORIZED);

    let refresh = fluent_refresh(&stage.apis, API_CLIENT, &signed_in.text("refresh_token"));
    let renewed = stage.client.send(refresh).await;
    fluent.revoke_all();
    let revoked = stage.client.send(data(&renewed.text("access_token"))).await;
    assert_eq!(revoked.status, StatusCode::UNAUTHORIZED);
    let refresh = fluent_refresh(&stage.apis, API_CLIENT, &renewed.text("refresh_token"));
    let renewed = stage.client.send(refresh).await;
    assert_eq!(renewed.status, StatusCode::OK, "only access tokens were revoked");
    fluent.revoke_family();
    let refresh = fluent_refresh(&stage.apis, API_CLIENT, &renewed.text("refresh_token"));
    assert_eq!(stage.client.send(refresh).await.status, StatusCode::BAD_REQUEST);
    let counts = fluent.counts();
    assert_eq!((counts.with_expired, counts.with_revoked, counts.reuses), (1, 1, 0));
}
