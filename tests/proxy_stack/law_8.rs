//! Law 8: what arrives carries our credential, and nothing of the caller's in its place.

use std::sync::{Arc, Mutex};

use bearerd::upstream::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{
    caller::status,
    world::{TOKEN, recording, world},
};

#[tokio::test]
async fn law_8_no_field_of_the_callers_gets_in_the_way_of_the_credential() {
    let (world, arrived) = recording().await;
    let answer = world
        .raw(
            "GET /bearer//a/%2e%2E/b%2f?x=%2e HTTP/1.1\r\nHost: ADDRESS\r\nConnection: authorization, x-drop, close\r\n\
             Authorization: Bearer caller\r\nAUTHORIZATION: Basic Y2FsbGVy\r\nProxy-Authorization: Basic x\r\n\
             X-Drop: 1\r\nX-Keep: 1\r\nTE: trailers, gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nKeep-Alive: 1\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    let arrived = arrived.lock().unwrap();
    let seen = &arrived[0];
    assert_eq!(
        seen.target, "/v2/b%2F?x=%2e",
        "one reading of the path, and the query as it was"
    );
    assert_eq!(seen.all("authorization"), [format!("Bearer {TOKEN}")]);
    assert_eq!(seen.all("host"), [world.upstream.to_string()]);
    assert_eq!(seen.all("x-keep"), ["1"]);
    for gone in [
        "x-drop",
        "te",
        "proxy-authorization",
        "upgrade",
        "http2-settings",
        "keep-alive",
    ] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    assert_eq!(seen.all("x-request-id").len(), 1);
}

#[tokio::test]
async fn law_8_a_parameter_of_the_callers_is_gone_however_it_is_written() {
    let (world, arrived) = recording().await;
    for target in [
        "/key/a?api%5Fkey=caller&b=1&%61pi_key&api_key=x",
        "/form/a?api%5Fkey=caller&b=1",
    ] {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: caller\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&world.raw(&request).await), "200");
    }
    for seen in &*arrived.lock().unwrap() {
        assert_eq!(seen.target, format!("/v2/a?b=1&api_key={TOKEN}"));
        assert!(!seen.headers.contains_key("authorization"));
    }
}

#[tokio::test]
async fn law_8_the_placements_own_field_is_ours_alone() {
    let (world, arrived) = recording().await;
    world
        .raw(
            "GET /session/a HTTP/1.1\r\nHost: localhost\r\nX-Session: caller\r\nx_session: caller\r\n\
             X-SESSION: again\r\nAuthorization: caller\r\nConnection: x-session, close\r\n\r\n",
        )
        .await;
    let seen = &arrived.lock().unwrap()[0];
    assert_eq!(seen.all("x-session"), [TOKEN]);
    assert!(!seen.headers.contains_key("x_session") && !seen.headers.contains_key("authorization"));
}

#[tokio::test]
async fn law_8_no_trailer_takes_the_credentials_place() {
    let trailers = Arc::new(Mutex::new(Vec::new()));
    let arrived = trailers.clone();
    let world = world(move |request: Request<Incoming>| {
        let arrived = arrived.clone();
        async move {
            let whole = request.into_body().collect().await.unwrap();
            let names = whole.trailers().unwrap().keys().map(ToString::to_string);
            arrived.lock().unwrap().extend(names);
            Response::new(Body::default())
        }
    })
    .await;
    let answer = world
        .raw(
            "POST /session HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
             Trailer: x-session, x_session, x-sum\r\n\r\n\
             4\r\ndata\r\n0\r\nX-Session: caller\r\nX_Session: caller\r\nX-Sum: 1\r\n\r\n",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(*trailers.lock().unwrap(), ["x-sum"]);
}

#[tokio::test]
async fn law_8_without_a_credential_the_callers_own_stays_here_too() {
    let (world, arrived) = recording().await;
    world
        .raw("GET /plain/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer caller\r\nConnection: close\r\n\r\n")
        .await;
    assert!(!arrived.lock().unwrap()[0].headers.contains_key("authorization"));
}

#[tokio::test]
async fn law_8_redirects_are_not_followed_but_brought_home() {
    let world = world(|request: Request<Incoming>| async move {
        let location = format!(
            "http://{}/v2/next?{}",
            request.headers()["host"].to_str().unwrap(),
            request.uri().query().unwrap()
        );
        Response::builder()
            .status(307)
            .header("location", location)
            .body(Body::default())
            .unwrap()
    })
    .await;
    let answer = world
        .raw("GET /key/a?b=1 HTTP/1.1\r\nHost: ADDRESS\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "307");
    let home = format!("location: http://{}/key/next?b=1\r\n", world.address);
    assert!(answer.contains(&home), "{answer}");
    assert!(!answer.contains(TOKEN), "{answer}");
}
