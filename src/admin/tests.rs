use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

use super::*;
use crate::proxy::{Address, Connection, Proof};

mod fake;
mod page;

use fake::Fake;

async fn ask<S>(service: S, request: Request<Full<Bytes>>) -> (Response<()>, String)
where
    S: Service<Request<Full<Bytes>>, Response = Response<Body>, Error = Infallible>,
{
    let Ok(response) = service.oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(head, ()),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "localhost:9901")
        .body(Full::default())
        .unwrap()
}

fn post(path: &str, body: &str) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("host", "127.0.0.1:9901")
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::from(body.to_owned()))
        .unwrap()
}

fn with(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn readiness_is_503_only_where_no_request_should_come() {
    let cases = [
        (Ready::Ready, 200, "ready"),
        (Ready::Degraded, 200, "degraded"),
        (Ready::Starting, 503, "starting"),
        (Ready::Draining, 503, "draining"),
        (Ready::NotReady, 503, "not_ready"),
    ];
    for (ready, status, word) in cases {
        let (head, body) = ask(Probes::new(Fake::new(ready)), get("/readyz")).await;
        assert_eq!(head.status(), status);
        assert_eq!(head.headers()["content-type"], "application/json");
        let page: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(page, json!({"status": word, "reasons": ["because"]}));
    }
}

#[tokio::test]
async fn probes_answer_three_paths_and_nothing_else() {
    let probes = Probes::new(Fake::new(Ready::NotReady));
    let (head, body) = ask(probes.clone(), get("/livez")).await;
    assert_eq!((head.status().as_u16(), &*body), (200, "ok\n"));
    let (head, body) = ask(probes.clone(), get("/metrics")).await;
    assert_eq!(body, "");
    assert_eq!(
        head.headers()["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let mut scrape = get("/metrics");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3";
    scrape.headers_mut().insert("accept", accept.parse().unwrap());
    let (head, body) = ask(probes.clone(), scrape).await;
    assert_eq!(body, "# EOF\n");
    assert_eq!(
        head.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for request in [get("/status"), get("/livez/"), get("/"), post("/readyz", "")] {
        let (head, body) = ask(probes.clone(), request).await;
        assert_eq!(head.status(), 404);
        assert_eq!(head.headers()["content-type"], "application/problem+json");
        assert_eq!(head.headers()["x-bearerd-error"], "no_route");
        let page: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(page["code"], "no_route");
    }
}

#[tokio::test]
async fn the_status_page_reads_back_as_what_it_was() {
    let fake = Fake::new(Ready::Degraded);
    let (head, body) = ask(Admin::new(fake.clone()), get("/status")).await;
    assert_eq!(head.status(), 200);
    let page: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(page["credentials"][0]["obtained"], "2025-06-15T15:06:40Z");
    assert_eq!(page["credentials"][0]["state"], "login_required");
    let mut read: Status = serde_json::from_str(&body).unwrap();
    // The page is to the second.
    let error = read.credentials[0].last_error.as_mut().unwrap();
    assert_eq!(error.at, Moment(1_750_000_001_000));
    error.at = Moment(1_750_000_001_999);
    assert_eq!(read, fake.status());
}

#[tokio::test]
async fn a_login_hands_over_the_answers() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    let (head, body) = ask(
        admin.clone(),
        post(
            "/credentials/pos/login",
            r#"{"step": "link", "answers": {"code": "1234"}}"#,
        ),
    )
    .await;
    assert_eq!((head.status().as_u16(), &*body), (200, r#"{"detail":"signed in"}"#));
    let (head, _) = ask(
        admin.clone(),
        post("/credentials/pos/login", r#"{"step": null, "answers": {"code": "x"}}"#),
    )
    .await;
    assert_eq!(head.status(), 200);
    assert_eq!(fake.asked(), ["login pos Some(\"link\") 1234", "login pos None x"]);

    let failures = [
        ("/credentials/pos/login", "{}", 400, "missing_answer"),
        ("/credentials/other/login", "{}", 404, "unknown_credential"),
        ("/credentials/No%20Name/login", "{}", 404, "unknown_credential"),
        ("/credentials/pos/refresh", "", 502, "action_failed"),
        ("/credentials/pos", "{}", 404, "no_route"),
    ];
    for (path, body, status, code) in failures {
        let (head, _) = ask(admin.clone(), post(path, body)).await;
        assert_eq!(
            (
                head.status().as_u16(),
                head.headers()["x-bearerd-error"].to_str().unwrap()
            ),
            (status, code),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_no_login_is_refused_without_being_quoted() {
    let admin = Admin::new(Fake::new(Ready::Ready));
    let long = format!(r#"{{"answers": {{"code": "{}"}}}}"#, "x".repeat(70_000));
    for body in [
        r#"{"answers": "canary"}"#,
        r#"{"password": "canary"}"#,
        r#"{"answers": {"code": ["canary"]}}"#,
        r#"{"step": "Canary", "answers": {}}"#,
        "canary",
        "",
        &long,
    ] {
        let (head, answer) = ask(admin.clone(), post("/credentials/pos/login", body)).await;
        assert_eq!(head.status(), 400, "{answer}");
        assert!(!answer.contains("canary"), "{answer}");
    }
}

#[tokio::test]
async fn only_this_machine_and_its_own_pages_are_let_in() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    let refresh = || post("/credentials/pos/refresh", "");
    let mut two_hosts = get("/status");
    two_hosts.headers_mut().append("host", "localhost".parse().unwrap());
    let mut no_host = get("/status");
    no_host.headers_mut().remove("host");
    let mut no_type = refresh();
    no_type.headers_mut().remove("content-type");
    let refused = [
        (with(get("/status"), "host", "evil.example:9901"), 421),
        (with(get("/status"), "host", "10.1.2.3:9901"), 421),
        (with(get("/status"), "host", "localhost.evil.example"), 421),
        (get("http://evil.example/status"), 400),
        (two_hosts, 400),
        (no_host, 400),
        (with(refresh(), "origin", "http://evil.example"), 403),
        (with(refresh(), "origin", "null"), 403),
        (with(refresh(), "origin", "http://127.0.0.1:8080"), 403),
        (with(refresh(), "sec-fetch-site", "cross-site"), 403),
        (with(get("/status"), "sec-fetch-site", "same-site"), 403),
        (with(refresh(), "content-type", "text/plain"), 415),
        (no_type, 415),
    ];
    for (request, status) in refused {
        let shown = format!("{request:?}");
        let (head, _) = ask(admin.clone(), request).await;
        assert_eq!(head.status(), status, "{shown}");
    }
    assert!(fake.asked().is_empty(), "nothing that was refused was done");

    let mut old = get("/status");
    old.headers_mut().remove("host");
    *old.version_mut() = Version::HTTP_10;
    let welcome = [
        get("/status"),
        with(get("/status"), "host", "[::1]:9901"),
        with(get("/status"), "sec-fetch-site", "none"),
        with(get("/status"), "sec-fetch-site", "same-origin"),
        with(get("/status"), "origin", "http://localhost:9901"),
        old,
    ];
    for request in welcome {
        let shown = format!("{request:?}");
        let (head, _) = ask(admin.clone(), request).await;
        assert_eq!(head.status(), 200, "{shown}");
    }
    let own_address = || with(get("/status"), "host", "10.1.2.3:9901");
    assert_eq!(ask(admin.clone(), own_address()).await.0.status(), 421);
    let connection = Connection {
        local: Address::Tcp("10.1.2.3:9901".parse().unwrap()),
        peer: Address::Tcp("10.1.2.3:40000".parse().unwrap()),
        tls: false,
        proof: Proof::default(),
    };
    assert_eq!(ask(admin.of(&connection), own_address()).await.0.status(), 200);
}

#[tokio::test]
async fn a_sign_in_with_a_browser_begins_waits_and_is_finished() {
    let fake = Fake::new(Ready::Ready);
    let admin = Admin::new(fake.clone());
    let call = |verb: &str, body: &str| ask(admin.clone(), post(&format!("/credentials/pos/login/{verb}"), body));

    let (head, page) = call("begin", r#"{"redirect_uri": "http://127.0.0.1:1/callback"}"#).await;
    assert_eq!(head.status(), 200);
    let begun: FlowBegun = serde_json::from_str(&page).unwrap();
    assert_eq!(
        (&*begun.flow, begun.url.as_deref()),
        ("f", Some("https://idp.example/"))
    );
    assert!(!format!("{begun:?}").contains("idp.example"));

    assert_eq!(call("wait", r#"{"flow": "f"}"#).await.0.status(), 202);
    let (head, page) = call("finish", r#"{"flow": "f", "redirected": "/callback?code=canary"}"#).await;
    assert_eq!(
        (head.status().as_u16(), &head.headers()["x-bearerd-error"]),
        (400, &NOT_THIS_FLOW.parse().unwrap())
    );
    assert!(!page.contains("canary"));
    let (head, _) = call("finish", r#"{"flow": "f", "pasted": "canary"}"#).await;
    assert_eq!(head.status(), 200);
    let asked = fake.asked();
    assert_eq!(asked[0], "begin pos Some(\"http://127.0.0.1:1/callback\")");
    assert!(
        asked[1].starts_with("finish f") && !asked[1].contains("canary"),
        "{asked:?}"
    );

    for (verb, body) in [
        ("finish", r#"{"flow": "f"}"#),
        ("finish", r#"{"flow": "f", "pasted": "canary", "redirected": "canary"}"#),
        ("finish", r#"{"flow": "f", "pasted": ["canary"]}"#),
        ("begin", r#"{"redirect": "canary"}"#),
        ("wait", "canary"),
    ] {
        let (head, page) = call(verb, body).await;
        assert_eq!(head.status(), 400, "{verb} {body}");
        assert!(!page.contains("canary"), "{page}");
    }
    assert_eq!(call("else", "{}").await.0.status(), 404);
}
