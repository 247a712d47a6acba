//! The whole stack between raw callers and a real upstream, on loopback.

mod world;

use std::sync::{Arc, Mutex};

use bearerd::upstream::{Body, BoxError};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use world::{LOG, TOKEN, World, listen, recording, world};

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

fn text(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that a test sends frame by frame.
fn streamed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    struct Streamed(mpsc::UnboundedReceiver<Frame<Bytes>>);

    impl http_body::Body for Streamed {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0.poll_recv(cx).map(|frame| frame.map(Ok))
        }
    }

    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Streamed(receiver).boxed_unsync())
}

/// Sends a request that the client library builds.
async fn send(world: &World, request: Request<Body>) -> Response<Incoming> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

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
    assert_eq!(seen.all("te"), ["trailers"]);
    for gone in [
        "x-drop",
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

#[tokio::test]
async fn a_request_that_does_not_name_us_once_goes_nowhere() {
    let (world, arrived) = recording().await;
    for (head, code) in [
        (
            "GET /plain HTTP/1.1\r\nHost: localhost\r\nHost: localhost",
            "bad_request",
        ),
        ("GET /plain HTTP/1.1\r\nX: y", "bad_request"),
        (
            "GET http://localhost/plain HTTP/1.1\r\nHost: evil.example",
            "bad_request",
        ),
        ("GET /plain HTTP/1.1\r\nHost: evil.example", "unknown_host"),
        (
            "GET http://evil.example/plain HTTP/1.1\r\nHost: evil.example",
            "unknown_host",
        ),
        (
            "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nOrigin: https://evil.example",
            "browser_refused",
        ),
        (
            "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nSec-Fetch-Site: cross-site",
            "browser_refused",
        ),
        ("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80", "bad_request"),
        ("GET /plain/..%2f..%2fetc HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /plain/../../x HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /plain%00 HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("OPTIONS * HTTP/1.1\r\nHost: localhost", "bad_request"),
        ("GET /nowhere?secret=1 HTTP/1.1\r\nHost: localhost", "no_route"),
    ] {
        let answer = world.raw(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert!(
            answer.contains(&format!("x-bearerd-error: {code}\r\n")),
            "{head}: {answer}"
        );
        assert!(
            answer.contains("content-type: application/problem+json\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("secret"), "{answer}");
    }
    assert!(arrived.lock().unwrap().is_empty());
    for head in [
        "GET http://ADDRESS/plain HTTP/1.1\r\nHost: ADDRESS",
        "GET /plain HTTP/1.0",
        "GET /plain HTTP/1.1\r\nHost: ADDRESS\r\nOrigin: http://ADDRESS\r\nSec-Fetch-Site: same-origin",
    ] {
        let answer = world.raw(&format!("{head}\r\nConnection: close\r\n\r\n")).await;
        assert_eq!(status(&answer), "200", "{head}: {answer}");
    }
}

#[tokio::test]
async fn an_upstreams_answer_passes_through_and_can_not_pass_for_ours() {
    let world = world(|_| async {
        Response::builder()
            .status(404)
            .header("x-bearerd-error", "no_route")
            .header("x-bearerd-replayed", "1")
            .header("x-own", "1")
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .body(text("not here"))
            .unwrap()
    })
    .await;
    let answer = world
        .raw("GET /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "404");
    assert!(answer.contains("x-own: 1") && answer.ends_with("not here"), "{answer}");
    assert!(!answer.contains("x-bearerd") && !answer.contains("x-hop"), "{answer}");
}

#[tokio::test]
async fn a_401_that_no_renewal_helps_passes_through_with_its_mark() {
    let world = world(|_| async { Response::builder().status(401).body(text("who?")).unwrap() }).await;
    let answer = world
        .raw("GET /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "401");
    assert!(
        answer.contains("x-bearerd-replayed: no\r\n") && answer.ends_with("who?"),
        "{answer}"
    );
}

#[tokio::test]
async fn an_early_401_does_not_wait_for_the_rest_of_the_body() {
    let world = world(|_| async { Response::builder().status(401).body(text("who?")).unwrap() }).await;
    let (sender, body) = streamed();
    sender.send(Frame::data("a beginning".into())).unwrap();
    let request = Request::post("/bearer").header("host", "localhost").body(body).unwrap();
    let answer = send(&world, request).await;
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()["x-bearerd-replayed"], "no");
    drop(sender);
}

#[tokio::test]
async fn a_refusal_of_a_large_upload_is_the_answer_even_if_the_upstream_hangs_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        stream.read(&mut head).await.unwrap();
        let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(refusal).await.unwrap();
        stream.shutdown().await.unwrap();
        // A server that means its answer to arrive doesn't reset the connection under it (RFC 9112 §9.6).
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    });
    let world = listen(upstream).await;
    let (sender, body) = streamed();
    for _ in 0..64 {
        sender.send(Frame::data(vec![0; 65_536].into())).unwrap();
    }
    let request = Request::post("/bearer").header("host", "localhost").body(body).unwrap();
    let answer = send(&world, request).await;
    assert_eq!(answer.status(), 413);
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_that_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let world = listen(nobody).await;
    let answer = world
        .raw("GET /key?q=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert_eq!(status(&answer), "502");
    assert!(answer.contains("x-bearerd-error: upstream_unreachable"), "{answer}");
    assert!(answer.contains(&nobody.to_string()), "{answer}");
    assert!(!answer.contains("secret") && !answer.contains(TOKEN), "{answer}");
}

#[tokio::test]
async fn bodies_stream_both_ways_with_their_trailers() {
    // The upstream sends back each frame as it arrives: nothing is held on the way, or this would stand still.
    let world = world(|request: Request<Incoming>| async move {
        Response::builder()
            .header("trailer", "x-sum")
            .body(request.into_body().map_err(Into::into).boxed_unsync())
            .unwrap()
    })
    .await;
    let (sender, body) = streamed();
    let request = Request::post("/bearer/echo")
        .header("host", "localhost")
        .header("te", "trailers")
        .header("trailer", "x-sum")
        .body(body)
        .unwrap();
    let mut answer = send(&world, request).await.into_body();
    for piece in ["one", "two", "three"] {
        sender.send(Frame::data(piece.into())).unwrap();
        let back = answer.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(back, piece);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "3".parse().unwrap());
    sender.send(Frame::trailers(trailers.clone())).unwrap();
    drop(sender);
    let back = answer.frame().await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(back, trailers);
}

#[tokio::test]
async fn a_large_body_arrives_byte_for_byte() {
    let world = world(|request: Request<Incoming>| async move {
        Response::new(request.into_body().map_err(Into::into).boxed_unsync())
    })
    .await;
    let (sender, body) = streamed();
    // A prime, so that no two pieces look alike.
    let piece = |at: usize| Bytes::from((0..65_521).map(|byte| (byte * 31 + at) as u8).collect::<Vec<_>>());
    const PIECES: usize = 256;
    for at in 0..PIECES {
        sender.send(Frame::data(piece(at))).unwrap();
    }
    drop(sender);
    let request = Request::put("/bearer").header("host", "localhost").body(body).unwrap();
    let back = send(&world, request)
        .await
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes();
    let whole: Vec<u8> = (0..PIECES).flat_map(piece).collect();
    assert!(back == whole);
}

#[tokio::test]
async fn lengths_stay_and_head_has_no_body() {
    let lengths = Arc::new(Mutex::new(Vec::new()));
    let record = lengths.clone();
    let world = world(move |request: Request<Incoming>| {
        let record = record.clone();
        async move {
            let of = |name: &str| {
                request
                    .headers()
                    .get(name)
                    .map(|value| value.to_str().unwrap().to_owned())
            };
            record
                .lock()
                .unwrap()
                .push((of("content-length"), of("transfer-encoding")));
            Response::builder()
                .header("content-length", "5")
                .body(text("hello"))
                .unwrap()
        }
    })
    .await;
    let answer = world
        .raw("HEAD /bearer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("content-length: 5\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
    let post = "POST /bearer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    assert!(world.raw(post).await.ends_with("hello"));
    assert_eq!(*lengths.lock().unwrap(), [(None, None), (Some("3".into()), None)]);
}

#[tokio::test]
async fn a_form_gets_its_field_and_its_length() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let record = bodies.clone();
    let world = world(move |request: Request<Incoming>| {
        let record = record.clone();
        async move {
            let length = request.headers()["content-length"].to_str().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(length, body.len().to_string());
            record.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            Response::new(Body::default())
        }
    })
    .await;
    let answer = world
        .raw(
            "POST /form/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 22\r\nConnection: close\r\n\r\na=%20&api%5Fkey=mine&b",
        )
        .await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(*bodies.lock().unwrap(), [format!("a=%20&b&api_key={TOKEN}")]);
}

#[tokio::test]
async fn law_9_each_request_has_one_line_without_query_and_credential() {
    let (world, _) = recording().await;
    for target in ["/key/a?password=hush", "/nowhere?password=hush"] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer hush\r\nX-Request-Id: id-1\r\nConnection: close\r\n\r\n"
        );
        let answer = world.raw(&request).await;
        assert!(answer.contains("x-request-id: id-1\r\n"), "{answer}");
    }
    let log = LOG.text();
    let is_own = |line: &&str| line.contains("bearerd::access") && line.contains("id-1");
    let lines: Vec<_> = log.lines().filter(is_own).collect();
    assert_eq!(lines.len(), 2, "{log}");
    for part in [
        "path=\"/key/a\"",
        "route=\"key\"",
        "upstream=\"api\"",
        "status=200",
        "request_id=\"id-1\"",
        "duration_ms=",
    ] {
        assert!(lines[0].contains(part), "{part}: {}", lines[0]);
    }
    assert!(
        lines[1].contains("status=404") && lines[1].contains("code=\"no_route\" detail=no route of"),
        "{}",
        lines[1]
    );
    assert!(!log.contains("hush") && !log.contains(TOKEN), "{log}");
    let page = world.metrics.page();
    assert!(
        page.contains(r#"bearerd_requests_total{route="key",status="200"} 1"#),
        "{page}"
    );
}
