//! What holds for each API: TLS, what it remembers, bulk data, and its end.

use std::{sync::Arc, time::Duration};

use bearerd::demo::{Apis, DemoError, Options, Ports, flow_retail};
use bytes::Bytes;
use http::{StatusCode, Version, header::DATE};
use tokio::{io::AsyncReadExt, net::TcpStream};
use tokio_rustls::TlsConnector;

use crate::client::{Ask, Client, Stage, tls};

fn reasons() -> String {
    format!("/v2/tenants/{}/reasons", flow_retail::TENANT)
}

#[tokio::test]
async fn h2_and_http1_are_spoken_by_alpn() {
    let stage = Stage::new().await;
    let ask = || {
        Ask::get(stage.apis.flow_retail(), &reasons())
            .bearer(flow_retail::INTEGRATION_TOKEN)
            .empty()
    };
    assert_eq!(stage.client.send(ask()).await.version, Version::HTTP_2);
    let plain = Client::http1(stage.apis.ca_pem());
    assert_eq!(plain.send(ask()).await.version, Version::HTTP_11);
}

#[tokio::test]
async fn h2_can_be_left_out() {
    let stage = Stage::with(|options| options.h2 = false).await;
    let ask = Ask::get(stage.apis.flow_retail(), &reasons()).bearer(flow_retail::INTEGRATION_TOKEN);
    assert_eq!(stage.client.send(ask.empty()).await.version, Version::HTTP_11);
}

#[tokio::test]
async fn the_certificate_vouches_for_every_name_and_for_nothing_else() {
    let stage = Stage::with(|options| options.host = "apis.demo".into()).await;
    let connector = TlsConnector::from(Arc::new(tls(stage.apis.ca_pem())));
    for api in stage.apis.all() {
        assert!(api.base_url().starts_with("https://apis.demo:"));
        for (name, trusted) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("flow.localhost", true),
            ("fluent.localhost", true),
            ("pos.localhost", true),
            ("flowlu.localhost", true),
            ("apis.demo", true),
            ("else.localhost", false),
        ] {
            let stream = TcpStream::connect(api.address()).await.unwrap();
            let outcome = connector.connect(name.try_into().unwrap(), stream).await;
            assert_eq!(outcome.is_ok(), trusted, "{name}");
        }
    }
}

#[tokio::test]
async fn what_arrived_is_remembered() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let client = Client::http1(stage.apis.ca_pem());
    let body = Bytes::from_static(b"abc");
    let ask = Ask::to("PUT", flow, &format!("{}?a=%20b", reasons()))
        .bearer(flow_retail::INTEGRATION_TOKEN)
        .header("x-mark", "here")
        .body(body);
    let answer = client.send(ask).await;
    let seen = flow.last_data_call().unwrap();
    assert_eq!((seen.method.as_str(), seen.query.as_str()), ("PUT", "a=%20b"));
    assert_eq!(seen.authority, format!("localhost:{}", flow.address().port()));
    assert_eq!(seen.sni.as_deref(), Some("localhost"));
    assert_eq!(
        (seen.version, &seen.headers["x-mark"]),
        (Version::HTTP_11, &"here".parse().unwrap())
    );
    // FIPS 180-4's own example.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!((seen.body_sha256.as_str(), seen.body_length), (known, 3));
    assert_eq!(answer.text("body_sha256"), known);
    assert!(!format!("{seen:?}").contains(flow_retail::INTEGRATION_TOKEN));
    assert!(flow.last_token_request().is_none());
}

#[tokio::test]
async fn another_host_is_not_answered() {
    let stage = Stage::new().await;
    let client = Client::http1(stage.apis.ca_pem());
    let flow = stage.apis.flow_retail();
    let ask = |host: &str| {
        Ask::get(flow, &reasons())
            .bearer(flow_retail::INTEGRATION_TOKEN)
            .header("host", host)
            .empty()
    };
    let port = flow.address().port();
    for (host, status) in [
        (format!("localhost:{port}"), StatusCode::OK),
        ("127.0.0.1:8080".into(), StatusCode::MISDIRECTED_REQUEST),
        // One of its names, but not the one asked for in the handshake.
        (format!("fluent.localhost:{port}"), StatusCode::MISDIRECTED_REQUEST),
    ] {
        assert_eq!(client.send(ask(&host)).await.status, status, "{host}");
    }
    assert_eq!(flow.counts().misdirected, 2);
}

#[tokio::test]
async fn bulk_data_needs_a_credential() {
    let stage = Stage::new().await;
    let flow = stage.apis.flow_retail();
    let target = format!("/v2/tenants/{}/demo/bytes/300000", flow_retail::TENANT);
    let refused = stage.client.send(Ask::get(flow, &target).empty()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    let ask = Ask::get(flow, &target).bearer(flow_retail::INTEGRATION_TOKEN);
    let answer = stage.client.send(ask.empty()).await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 300_000));
    let up = Ask::post(flow, &reasons())
        .bearer(flow_retail::INTEGRATION_TOKEN)
        .body(vec![7; 3_000_000].into());
    assert_eq!(stage.client.send(up).await.json()["body_bytes"], 3_000_000);
}

#[tokio::test]
async fn paths_outside_the_document_are_not_there() {
    let stage = Stage::new().await;
    for api in stage.apis.all() {
        let answer = stage.client.send(Ask::get(api, "/elsewhere").empty()).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", api.name());
        assert_eq!(api.counts().unauthorised, 0);
    }
}

#[tokio::test]
async fn answers_are_dated_by_the_clock_that_tokens_live_by() {
    let stage = Stage::new().await;
    stage.clock.advance(Duration::from_secs(7));
    let answer = stage.client.send(Ask::get(stage.apis.pos(), "/dishes").empty()).await;
    let date = httpdate::parse_http_date(answer.headers[DATE].to_str().unwrap()).unwrap();
    let since = date.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since.as_secs(), stage.clock.now().wall / 1000);
}

#[tokio::test]
async fn a_held_port_is_said_to_be_held() {
    let stage = Stage::new().await;
    let options = Options {
        ports: Ports {
            pos: stage.apis.pos().address().port(),
            ..Ports::default()
        },
        ..Options::default()
    };
    match Apis::start(options).await.err() {
        Some(DemoError::Bind { api, .. }) => assert_eq!(api, "pos"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_authoritys_certificate_is_written_where_it_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let stage = Stage::with(|options| options.ca_file = Some(file.clone())).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), stage.apis.ca_pem());
}

#[tokio::test]
async fn dropping_the_apis_ends_them() {
    let stage = Stage::new().await;
    let address = stage.apis.pos().address();
    let mut held = TcpStream::connect(address).await.unwrap();
    drop(stage);
    // The held connection's end, clean or not, says that the server's tasks have gone.
    let end = held.read(&mut [0; 1]).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(TcpStream::connect(address).await.is_err());
}
