//! TLS on a listener.

use std::{
    io::{Read, Write},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::{
    authority::Authority,
    client::{Ask, connect},
    message::Message,
    program::Program,
    recorder::{Recorder, ok},
    world::{api, config, place, reload, told},
};

const MAIN: &str = "{ bind: \"127.0.0.1:0\", tls: { cert: DIR/server.pem, key: DIR/server.pem } }";

fn start(api: &Recorder, authority: &Authority) -> Program {
    let place = place(api);
    authority.issue(&["localhost"]).write(&place.path("server.pem"));
    place.configure(&config(api, MAIN, ""));
    place.run()
}

#[test]
fn pages_and_redirects_are_of_https_and_the_guard_stands() {
    let api = Recorder::start(|request| match request.target() {
        "/moved" => {
            let host = request.header("host").unwrap();
            format!("HTTP/1.1 302 Found\r\nlocation: https://{host}/there\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }
        _ => ok("{}"),
    });
    let authority = Authority::new("one");
    let program = start(&api, &authority);
    let client = authority.client(None, b"http/1.1");
    let send = |ask: &Ask| client.send(program.address, ask).unwrap();

    let moved = send(&Ask::get("/all/moved"));
    assert_eq!(moved.header("location").as_deref(), Some("https://localhost/all/there"));
    let from = |origin: &str| told(&send(&Ask::get("/all/x").header("origin", origin)));
    assert_eq!(from("https://localhost"), (200, None));
    assert_eq!(from("https://localhost:443"), (200, None));
    assert_eq!(from("http://localhost"), (403, Some("browser_refused".into())));
    // A name that was made this machine's (DNS rebinding).
    let rebound = send(&Ask::get("/all/x").header("host", "evil.example"));
    assert_eq!(told(&rebound), (421, Some("unknown_host".into())));
    assert_eq!(api.seen().len(), 3);
}

#[tokio::test]
async fn http2_is_spoken_where_the_client_has_it() {
    let api = api();
    let authority = Authority::new("one");
    let program = start(&api, &authority);
    let client = authority.client(None, b"h2");
    let stream = tokio::net::TcpStream::connect(program.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(client.0.clone());
    let stream = connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut send = |uri: &str| sender.send_request(Request::get(uri).body(Empty::<Bytes>::new()).unwrap());
    let (one, other) = tokio::join!(send("https://localhost/all/a"), send("https://evil.example/all/b"));
    assert_eq!(one.unwrap().into_body().collect().await.unwrap().to_bytes(), "{}");
    assert_eq!(other.unwrap().status(), 421);
}

#[test]
fn plain_http_is_told_to_use_https() {
    let api = api();
    let authority = Authority::new("one");
    let program = start(&api, &authority);
    let answer = program.send(&Ask::to("POST", "/all/x").body("canary".repeat(10_000)));
    assert_eq!(told(&answer), (400, Some("bad_request".into())));
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("https"),
        "{answer:?}"
    );
    // HTTP/2 with prior knowledge, too.
    let mut stream = connect(program.address);
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
    // What is neither is hung up on.
    let mut stream = connect(program.address);
    stream.write_all(&[0, 1, 2, 3]).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(api.seen().len(), 0);
}

#[test]
fn a_silent_handshake_holds_up_nobody_and_is_cut_off() {
    let api = api();
    let authority = Authority::new("one");
    let program = start(&api, &authority);
    let client = authority.client(None, b"http/1.1");
    let mut silent: Vec<_> = (0..50).map(|_| connect(program.address)).collect();
    // The beginning of a handshake's record, and no more.
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(&[22, 3, 1, 2, 0]).unwrap();
    }
    let answer = client.send(program.address, &Ask::get("/all/x")).unwrap();
    assert_eq!(told(&answer), (200, None));
    for stream in &mut silent {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(stream.read(&mut [0; 8]).expect("an end, not a timeout"), 0);
    }
}

#[test]
fn a_new_certificate_is_for_new_connections_and_closes_no_old_one() {
    let api = api();
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let program = start(&api, &one);
    let client = one.client(None, b"http/1.1");
    let mut kept = client.connect(program.address);
    let mut ask = || {
        let ask = Ask::get("/all/x").header("connection", "keep-alive");
        kept.get_mut().write_all(&ask.bytes()).unwrap();
        let answer = Message::answer(&mut kept, false).expect("an answer");
        (answer.status(), answer.header("connection"))
    };
    assert_eq!(ask(), (200, None));

    two.issue(&["localhost"]).write(&program.place.path("server.pem"));
    reload(&program);
    assert_eq!(ask(), (200, None), "the old connection goes on");
    let get = Ask::get("/all/x");
    assert!(
        client.send(program.address, &get).is_err(),
        "the old certificate is shown to nobody"
    );
    let trusting = two.client(None, b"http/1.1");
    assert_eq!(trusting.send(program.address, &get).unwrap().status(), 200);

    // One that can't be used changes nothing.
    std::fs::write(program.place.path("server.pem"), "broken").unwrap();
    let ask_reload = Ask::to("POST", "/reload")
        .header("content-type", "application/json")
        .body("{}");
    let answer = ask_reload.send_unix(&program.place.path("admin.sock"));
    assert_eq!(answer.status(), 422);
    assert_eq!(trusting.send(program.address, &get).unwrap().status(), 200);
    assert_eq!(ask().0, 200);
    let (_, log, _) = program.end();
    assert!(log.contains("listeners with another certificate: main"), "{log}");
}
