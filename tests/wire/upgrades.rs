//! Connections that are given away: WebSocket, and whatever else an application and its API agree on.

use std::{
    io::{BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    client::{Ask, connect},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A recorder whose `/token` gives `token-1`, `token-2`, …, and a program with a route to it.
fn stage(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> (Recorder, Program) {
    let issued = AtomicU32::new(0);
    let recorder = Recorder::start(move |request| match request.target() {
        "/token" => {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            ok(&format!(
                r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":3600}}"#
            ))
        }
        _ => answer(request),
    });
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    place.configure(&format!(
        "{HEAD}credentials:\n  idp: {{ grant: {{ type: client_credentials, token_url: \"{url}/token\", \
         client_id: erp, client_secret: s, auth: basic }} }}\n\
         upstreams: {{ api: {{ url: \"{url}\", credential: idp }} }}\nroutes: {{ api: {{ upstream: api }} }}\n"
    ));
    (recorder, place.run())
}

fn websocket() -> Ask {
    Ask::get("/ws?room=1")
        .header("connection", "keep-alive, Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}

fn open(program: &Program, ask: &Ask) -> (Message, BufReader<TcpStream>) {
    let mut stream = connect(program.address);
    stream.write_all(&ask.bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    (Message::answer(&mut stream, false).expect("an answer"), stream)
}

/// What goes out comes back.
fn echoes(stream: &mut BufReader<TcpStream>, message: &[u8]) {
    stream.get_mut().write_all(message).unwrap();
    let mut back = vec![0; message.len()];
    stream.read_exact(&mut back).unwrap();
    assert!(back == message);
}

#[test]
fn a_websocket_is_opened_with_the_credential_and_carries_both_ways() {
    let (recorder, program) = stage(|_| SWITCHED.to_vec());
    let ask = websocket().header("authorization", "Bearer canary");
    let (answer, mut stream) = open(&program, &ask);
    assert_eq!(answer.status(), 101, "{answer:?}");
    assert_eq!(answer.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(answer.header("connection").as_deref(), Some("upgrade"));
    assert!(answer.header("sec-websocket-accept").is_some());

    let arrived = recorder.last().request;
    assert_eq!(arrived.start, "GET /ws?room=1 HTTP/1.1");
    assert_eq!(arrived.header("authorization").as_deref(), Some("Bearer token-1"));
    assert_eq!(arrived.header("connection").as_deref(), Some("upgrade"));
    assert_eq!(arrived.header("upgrade").as_deref(), Some("websocket"));
    assert_eq!(arrived.header("sec-websocket-version").as_deref(), Some("13"));

    for number in 0..10_000_u32 {
        echoes(&mut stream, &number.to_be_bytes());
    }
    let writer = stream.get_ref().try_clone().unwrap();
    writer.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "an end passes on, and comes back");
}

#[test]
fn a_rejected_token_is_renewed_before_the_switch() {
    let (recorder, program) = stage(|request| match request.header("authorization").as_deref() {
        Some("Bearer token-1") => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
        _ => SWITCHED.to_vec(),
    });
    let (answer, mut stream) = open(&program, &websocket());
    assert_eq!(answer.status(), 101, "{answer:?}");
    assert_eq!(answer.header("x-bearerd-replayed").as_deref(), Some("1"));
    echoes(&mut stream, b"hello");
    let opened = recorder
        .seen()
        .into_iter()
        .filter(|seen| seen.request.target() != "/token");
    assert_eq!(opened.count(), 2);
}

#[test]
fn another_answer_than_a_switch_is_one_like_any_other() {
    let (_recorder, program) = stage(|_| ok("no websocket here"));
    let (answer, mut stream) = open(&program, &websocket());
    assert_eq!((answer.status(), &*answer.body), (200, &b"no websocket here"[..]));
    stream.get_mut().write_all(&Ask::get("/next").bytes()).unwrap();
    assert_eq!(Message::answer(&mut stream, false).expect("an answer").status(), 200);
}

#[test]
fn what_nobody_asked_for_is_no_switch() {
    for (protocol, answered) in [
        ("websocket", "h2c"),
        ("websocket, h2c", "h2c"),
        ("h2c", "h2c"),
        ("TLS/1.3", "TLS/1.3"),
    ] {
        let switched =
            format!("HTTP/1.1 101 Switching Protocols\r\nupgrade: {answered}\r\nconnection: upgrade\r\n\r\n");
        let (recorder, program) = stage(move |_| switched.clone().into_bytes());
        let ask = Ask::get("/")
            .header("connection", "upgrade")
            .header("upgrade", protocol);
        let answer = program.send(&ask);
        let code = answer.header("x-bearerd-error");
        assert_eq!(
            (answer.status(), code.as_deref()),
            (502, Some("upstream_protocol")),
            "{protocol}"
        );
        let passed = recorder.last().request.header("upgrade");
        assert_eq!(
            passed.as_deref(),
            protocol.starts_with("websocket").then_some("websocket"),
            "{protocol}"
        );
    }
}

#[test]
fn an_open_websocket_is_waited_for_at_the_end() {
    let (_recorder, program) = stage(|_| SWITCHED.to_vec());
    let (answer, mut stream) = open(&program, &websocket());
    assert_eq!(answer.status(), 101);
    program.signal(rustix::process::Signal::TERM);
    while !program.log().contains("SIGTERM") {
        std::thread::yield_now();
    }
    for _ in 0..100 {
        echoes(&mut stream, b"still here");
    }
    drop(stream);
    let (status, log, _) = { program }.wait();
    assert!(status.success());
    assert!(!log.contains("cut off"), "it had ended in time");
}
