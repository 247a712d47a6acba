//! What arrives upstream, and what comes back.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{
    client::Ask,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{OTHER_NAME, Recorder, ok},
};

/// The secret of every placement here; its signs must be encoded in a query.
const TOKEN: &str = "t0k=n&+ %";
const ENCODED: &str = "t0k%3Dn%26%2B%20%25";

/// A recorder, and a program with a route for each placement.
struct Stage {
    recorder: Recorder,
    program: Program,
}

impl Stage {
    fn new() -> Self {
        Self::answering(|_| ok("{}"))
    }

    fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let recorder = Recorder::start(answer);
        let place = Place::new();
        recorder.write_ca(&place.path("ca.pem"));
        let placements = [
            ("bearer", "bearer".to_owned()),
            ("header", "{ header: x-session-id }".into()),
            (
                "basic",
                "{ basic: { username: bearer, password: \"${token:access}\" } }".into(),
            ),
            ("query", "{ query: api_key }".into()),
            ("form", "{ form: api_key }".into()),
        ];
        let mut config = format!("{HEAD}credentials:\n");
        for (name, placement) in &placements {
            config +=
                &format!("  {name}: {{ grant: {{ type: static, token: \"{TOKEN}\" }}, placement: {placement} }}\n");
        }
        let url = recorder.url();
        config += &format!(
            "upstreams:\n  api: {{ url: \"{url}/v2\" }}\n  \
             odd: {{ url: \"{url}\", credential: bearer, tls: {{ server_name: {OTHER_NAME} }} }}\n\
             routes:\n  odd: {{ prefix: /odd, upstream: odd }}\n"
        );
        for name in placements.iter().map(|(name, _)| *name).chain(["none"]) {
            config += &format!("  {name}: {{ prefix: /{name}, upstream: api, credential: {name} }}\n");
        }
        place.configure(&config);
        Self {
            recorder,
            program: place.run(),
        }
    }

    /// What arrives upstream of this request, which is answered with 200.
    fn arrives(&self, ask: &Ask) -> Message {
        let answer = self.program.send(ask);
        assert_eq!(answer.status(), 200, "{answer:?}");
        self.recorder.last().request
    }

    fn authority(&self) -> String {
        format!("localhost:{}", self.recorder.address.port())
    }
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

/// Bytes of no pattern that a compressor, a charset or a line reader would leave alone.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn the_upstream_is_called_by_its_own_name() {
    let stage = Stage::new();
    let arrived = stage.arrives(&Ask::get("/bearer/a/b?x=1&y=%2F").header("x-forwarded-host", "kept"));
    assert_eq!(arrived.start, "GET /v2/a/b?x=1&y=%2F HTTP/1.1");
    assert_eq!(arrived.header("host"), Some(stage.authority()));
    assert_eq!(stage.recorder.last().sni.as_deref(), Some("localhost"));
    assert_eq!(arrived.header("authorization"), Some(format!("Bearer {TOKEN}")));
    let arrived = stage.arrives(&Ask::get("/odd/a"));
    assert_eq!(arrived.header("host"), Some(stage.authority()));
    assert_eq!(stage.recorder.last().sni.as_deref(), Some(OTHER_NAME));
}

#[test]
fn what_speaks_of_the_callers_connection_ends_with_it() {
    let stage = Stage::new();
    let arrived = stage.arrives(
        &Ask::get("/bearer/a")
            .header("connection", "close, authorization, X-Private, host, content-length")
            .header("connection", "x-other, x-session-id")
            .header("x-private", "1")
            .header("x-other", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-connection", "keep-alive")
            .header("proxy-authorization", "Basic Y2FsbGVy")
            .header("te", "gzip, trailers")
            .header("upgrade", "h2c")
            .header("http2-settings", "AAMAAABkAAQAAP__")
            .header("expect", "100-continue")
            .header("x-kept", "yes"),
    );
    let mut names = arrived.names();
    names.retain(|name| name != "x-request-id");
    names.sort();
    assert_eq!(names, ["authorization", "host", "x-kept"], "{arrived:?}");
    let arrived = stage.arrives(&Ask::get("/header/a").header("connection", "close, x-session-id"));
    assert_eq!(arrived.header("x-session-id").as_deref(), Some(TOKEN));
}

#[test]
fn law_8_nothing_of_the_callers_own_credential_goes_upstream() {
    let stage = Stage::new();
    let own = "callers-own-canary";
    for route in ["bearer", "header", "basic", "query", "form", "none"] {
        let arrived = stage.arrives(
            &Ask::get(&format!("/{route}/a?x=1"))
                .header("Authorization", format!("Bearer {own}"))
                .header("AUTHORIZATION", format!("Basic {own}"))
                .header("proxy-authorization", own),
        );
        assert!(!format!("{arrived:?}").contains(own), "{route}: {arrived:?}");
        let injected = arrived.header("authorization").unwrap_or_default();
        match route {
            "bearer" => assert_eq!(injected, format!("Bearer {TOKEN}")),
            "basic" => assert_eq!(injected, "Basic YmVhcmVyOnQwaz1uJisgJQ=="),
            _ => assert_eq!(injected, "", "{route}"),
        }
    }
    let arrived = stage.arrives(
        &Ask::get("/header/a")
            .header("x-session-id", own)
            .header("X-Session-Id", own)
            .header("x_session_id", own)
            .header("x-session_id", own)
            .header("x-session", "another name"),
    );
    assert!(!format!("{arrived:?}").contains(own), "{arrived:?}");
    assert_eq!(arrived.header("x-session-id").as_deref(), Some(TOKEN));
    assert_eq!(arrived.header("x-session").as_deref(), Some("another name"));
}

#[test]
fn law_8_the_placements_parameter_is_known_by_its_decoded_name() {
    let stage = Stage::new();
    let pair = format!("api_key={ENCODED}");
    for (sent, left) in [
        ("api_key=canary", ""),
        ("api%5Fkey=canary&a=1", "a=1&"),
        ("%61pi_key=canary&%61%70%69%5f%6b%65%79=canary", ""),
        ("a=1&api_key&b=2", "a=1&b=2&"),
        ("a=1;api_key=canary;b=2", "a=1;b=2&"),
        (
            "API_KEY=another&api+key=another&api_key2=b&xapi_key=c",
            "API_KEY=another&api+key=another&api_key2=b&xapi_key=c&",
        ),
        ("a=%20+%2B&b=%C3%A6", "a=%20+%2B&b=%C3%A6&"),
    ] {
        let expected = format!("{left}{pair}");
        for route in ["query", "form"] {
            let arrived = stage.arrives(&Ask::get(&format!("/{route}/a?{sent}")));
            assert_eq!(arrived.query(), expected, "{route} {sent}");
        }
        let arrived = stage.arrives(&Ask::to("POST", "/form/a").form(sent));
        assert_eq!(String::from_utf8(arrived.body).unwrap(), expected, "form {sent}");
    }
    // In a form the caller's copy is removed from both places.
    let arrived = stage.arrives(&Ask::to("POST", "/form/a?api_key=canary&q=1").form("api_key=canary&a=1"));
    assert_eq!(arrived.query(), "q=1");
    assert_eq!(arrived.header("content-length"), Some((4 + pair.len()).to_string()));
    assert_eq!(arrived.body, format!("a=1&{pair}").into_bytes());
    // A chunked form is one too.
    let chunked = Ask::to("POST", "/form/a")
        .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
        .chunks(&[b"api_", b"key=canary&a", b"=1"], None);
    assert_eq!(stage.arrives(&chunked).body, format!("a=1&{pair}").into_bytes());
}

#[test]
fn law_8_a_form_that_may_be_read_in_two_ways_goes_nowhere() {
    let stage = Stage::new();
    let two_types = Ask::to("POST", "/form/a").header("content-type", "text/plain");
    for ask in [two_types, Ask::get("/form/a")] {
        let answer = stage.program.send(&ask.form("api_key=canary&a=1"));
        let code = answer.header("x-bearerd-error");
        assert_eq!((answer.status(), code.as_deref()), (400, Some("bad_request")));
        assert!(stage.recorder.seen().is_empty());
    }
    // Some clients send the type without a body.
    stage.arrives(&Ask::get("/form/a").form(""));
}

#[test]
fn a_body_that_is_framed_twice_is_framed_once_from_here() {
    use std::io::{BufReader, Write};
    let stage = Stage::new();
    let mut stream = crate::client::connect(stage.program.address);
    stream
        .write_all(
            b"POST /bearer/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n\
              3\r\nabc\r\n0\r\n\r\nGET /bearer/smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n",
        )
        .unwrap();
    let mut stream = BufReader::new(stream);
    Message::answer(&mut stream, false).expect("an answer");
    // The recorder itself refuses what is framed twice.
    let arrived = stage.recorder.seen().remove(0).request;
    assert_eq!((arrived.target(), &*arrived.body), ("/v2/a", &b"abc"[..]));
    assert_eq!(arrived.header("content-length"), None);
    assert!(
        Message::answer(&mut stream, false).is_none(),
        "nobody knows where the next request begins (RFC 9112 \u{a7}6.1)"
    );
}

#[test]
fn bodies_arrive_byte_for_byte() {
    let stage = Stage::new();
    for length in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        let body = noise(length);
        let arrived = stage.arrives(&Ask::to("POST", "/bearer/a").body(&body));
        assert_eq!(sha256(&arrived.body), sha256(&body), "{length}");
        assert_eq!(arrived.header("content-length"), Some(length.to_string()));
        assert_eq!(arrived.header("transfer-encoding"), None);
        if length > 0 {
            let (start, rest) = body.split_at(length / 3 + 1);
            let pieces: Vec<&[u8]> = [start, rest].into_iter().filter(|piece| !piece.is_empty()).collect();
            let arrived = stage.arrives(&Ask::to("PUT", "/query/a").chunks(&pieces, None));
            assert_eq!(sha256(&arrived.body), sha256(&body), "{length} in chunks");
            assert_eq!(arrived.header("content-length"), None);
        }
    }
    let arrived = stage.arrives(&Ask::get("/bearer/a").body("a GET may have one"));
    assert_eq!(arrived.body, b"a GET may have one");
    let arrived = stage.arrives(&Ask::to("DELETE", "/bearer/a").chunks(&[b"so may a DELETE"], None));
    assert_eq!(arrived.body, b"so may a DELETE");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_spoken_too() {
    let stage = Arc::new(Stage::new());
    let stream = tokio::net::TcpStream::connect(stage.program.address).await.unwrap();
    let (mut client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let body = Bytes::from(noise(200_000));
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    let sent = Frames(VecDeque::from([
        Frame::data(body.slice(..50_000)),
        Frame::data(body.slice(50_000..)),
        Frame::trailers(trailers),
    ]));
    let request = http::Request::post(format!(
        "http://localhost:{}/bearer/a?x=1",
        stage.program.address.port()
    ))
    .header("authorization", "Bearer canary")
    .header("trailer", "x-checksum")
    .header("te", "trailers")
    .body(sent)
    .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    let arrived = stage.recorder.last().request;
    assert_eq!(arrived.start, "POST /v2/a?x=1 HTTP/1.1");
    assert_eq!(arrived.header("host"), Some(stage.authority()));
    assert_eq!(arrived.header("authorization"), Some(format!("Bearer {TOKEN}")));
    assert_eq!(sha256(&arrived.body), sha256(&body));
    assert_eq!(arrived.trailers, [("x-checksum".to_owned(), b"abc".to_vec())]);
    drop(client);
    let _ = connection.await;
}

#[test]
fn trailers_pass_in_both_directions() {
    let stage = Stage::answering(|_| {
        b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"
            .to_vec()
    });
    let ask = Ask::to("POST", "/bearer/a")
        .header("te", "trailers")
        .header("trailer", "x-checksum")
        .chunks(&[b"abc"], Some(("x-checksum", "abc")));
    let answer = stage.program.send(&ask);
    assert_eq!((answer.status(), &*answer.body), (200, &b"abc"[..]));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), b"7".to_vec())]);
    let arrived = stage.recorder.last().request;
    assert_eq!(arrived.trailers, [("x-checksum".to_owned(), b"abc".to_vec())]);
}

#[test]
fn a_head_is_answered_with_the_length_and_nothing_else() {
    let stage = Stage::answering(|_| b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\netag: \"e\"\r\n\r\n".to_vec());
    let answer = stage.program.send(&Ask::to("HEAD", "/bearer/a"));
    assert_eq!(answer.header("content-length").as_deref(), Some("12345"));
    assert_eq!(answer.header("etag").as_deref(), Some("\"e\""));
    assert_eq!(stage.recorder.last().request.start, "HEAD /v2/a HTTP/1.1");
}

#[test]
fn answers_pass_as_they_are_but_for_what_ends_here() {
    let stage = Stage::answering(|_| {
        b"HTTP/1.1 418 I'm a teapot\r\nconnection: x-private\r\nx-private: 1\r\nkeep-alive: timeout=1\r\n\
          proxy-authenticate: Basic\r\nwww-authenticate: Bearer realm=\"a\"\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\
          x-bearerd-error: forged\r\nx-bearerd-replayed: 1\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x8b\x08"
            .to_vec()
    });
    let answer = stage.program.send(&Ask::get("/bearer/a"));
    assert_eq!((answer.status(), &*answer.body), (418, &b"\x1f\x8b\x08"[..]));
    for gone in [
        "x-private",
        "keep-alive",
        "proxy-authenticate",
        "x-bearerd-error",
        "x-bearerd-replayed",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.values("set-cookie"), [b"a=1", b"b=2"]);
    assert_eq!(answer.header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer realm=\"a\""));
}

#[test]
fn locations_lead_back_here_and_are_not_followed() {
    let stage = Stage::answering(|request| {
        let own = request.header("host").unwrap();
        let (status, location) = match request.target().split('?').next().unwrap() {
            "/v2/see" => ("302 Found", format!("https://{own}/v2/there?{}", request.query())),
            "/v2/new" => ("201 Created", "/v2/orders/7".into()),
            "/v2/else" => ("307 Temporary Redirect", "https://elsewhere.invalid/v2/a".into()),
            "/v2/login" => ("303 See Other", "/login".into()),
            _ => ("500 Followed", String::new()),
        };
        format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    });
    let here = format!("localhost:{}", stage.program.address.port());
    let upstream = stage.authority();
    for (target, status, location) in [
        ("/bearer/see?x=1", 302, format!("http://{here}/bearer/there?x=1")),
        // The query that it repeats holds our credential.
        ("/query/see?x=1", 302, format!("http://{here}/query/there?x=1")),
        ("/form/see", 302, format!("http://{here}/form/there")),
        ("/bearer/new", 201, "/bearer/orders/7".into()),
        ("/bearer/else", 307, "https://elsewhere.invalid/v2/a".into()),
        ("/bearer/login", 303, format!("https://{upstream}/login")),
    ] {
        let before = stage.recorder.seen().len();
        let answer = stage.program.send(&Ask::get(target).header("host", &here));
        assert_eq!(
            (answer.status(), answer.header("location")),
            (status, Some(location)),
            "{target}"
        );
        assert_eq!(stage.recorder.seen().len(), before + 1, "{target} was followed");
    }
}

#[test]
fn odd_messages_get_one_clear_answer_and_reach_nobody() {
    use std::io::{BufReader, Write};
    let stage = Stage::new();
    for (bytes, status) in [
        (
            &b"GET /bearer/../../etc HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"[..],
            400,
        ),
        (
            b"GET /bearer/a%00 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            b"GET /bearer/a HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
            421,
        ),
        (
            b"GET http://evil.example/bearer/a HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            400,
        ),
        (
            b"GET /bearer/a HTTP/1.1\r\nhost: localhost\r\norigin: https://evil.example\r\nconnection: close\r\n\r\n",
            403,
        ),
        (
            b"GET /elsewhere HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            404,
        ),
        (b"GET * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 400),
        (b"CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n", 400),
    ] {
        let mut stream = crate::client::connect(stage.program.address);
        stream.write_all(bytes).unwrap();
        let answer = Message::answer(&mut BufReader::new(stream), false).expect("an answer");
        let asked = String::from_utf8_lossy(bytes);
        assert_eq!(answer.status(), status, "{asked}\n{answer:?}");
        let code = answer.header("x-bearerd-error").expect("a code");
        assert_eq!(answer.json()["code"], code, "{asked}");
        assert_eq!(
            answer.header("content-type").as_deref(),
            Some("application/problem+json")
        );
    }
    assert!(stage.recorder.seen().is_empty());
}

/// A body of a length that nobody knows beforehand.
struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}
