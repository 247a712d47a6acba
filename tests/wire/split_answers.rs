//! Answers with two readings, or with more behind them: nobody gets what was meant for another request.

use std::io::{BufReader, Write};

use crate::{
    client::{Ask, connect},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

/// What comes of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Becomes {
    /// An answer with this status and body.
    Passes(u16, &'static str),
    /// 502 `upstream_protocol`.
    Refused,
}
use Becomes::{Passes, Refused};

const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nx-poison: 1\r\n\r\npoison";

/// What comes of it, and the answer to it.
type Case = (&'static str, Becomes, &'static [u8]);

const CASES: &[Case] = &[
    ("plain", Passes(200, "abc"), b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
    ("no reason", Passes(200, "abc"), b"HTTP/1.1 200\r\ncontent-length: 3\r\n\r\nabc"),
    ("HTTP/1.0", Passes(200, "abc"), b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
    ("100 before it", Passes(200, "abc"), b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
    (
        "103 with fields before it",
        Passes(200, "abc"),
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\ncontent-length: 9\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    ),
    ("101 unasked", Refused, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"),
    ("101 without a protocol", Refused, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("two lengths", Refused, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 6\r\n\r\nabcdef"),
    ("a list of lengths", Refused, b"HTTP/1.1 200 OK\r\ncontent-length: 3, 6\r\n\r\nabcdef"),
    ("a length with a sign", Refused, b"HTTP/1.1 200 OK\r\ncontent-length: +3\r\n\r\nabc"),
    ("a length and chunks", Passes(200, "abc"), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    ("a status of two digits", Refused, b"HTTP/1.1 20 OK\r\ncontent-length: 3\r\n\r\nabc"),
    ("a status of four digits", Refused, b"HTTP/1.1 2000 OK\r\ncontent-length: 3\r\n\r\nabc"),
    ("HTTP/2.0", Refused, b"HTTP/2.0 200 OK\r\ncontent-length: 3\r\n\r\nabc"),
    ("no HTTP", Refused, b"SSH-2.0-OpenSSH\r\n\r\n"),
    ("a fold", Refused, b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 3\r\n\r\nabc"),
    ("CR in a value", Refused, b"HTTP/1.1 200 OK\r\nx-a: b\rset-cookie: c=d\r\ncontent-length: 3\r\n\r\nabc"),
    ("NUL in a value", Refused, b"HTTP/1.1 200 OK\r\nx-a: b\0c\r\ncontent-length: 3\r\n\r\nabc"),
    ("a space before a colon", Refused, b"HTTP/1.1 200 OK\r\ncontent-length : 3\r\n\r\nabc"),
    ("a name with a space", Refused, b"HTTP/1.1 200 OK\r\nx a: b\r\ncontent-length: 3\r\n\r\nabc"),
    ("a second answer", Passes(200, "abc"), b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcPOISON"),
    ("a second answer behind 204", Passes(204, ""), b"HTTP/1.1 204 No Content\r\ncontent-length: 3\r\n\r\nPOISON"),
    ("a second answer behind 304", Passes(304, ""), b"HTTP/1.1 304 Not Modified\r\ncontent-length: 3\r\n\r\nPOISON"),
    (
        "a second answer behind chunks",
        Passes(200, "abc"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nPOISON",
    ),
    ("a second answer behind nothing", Passes(200, ""), b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nPOISON"),
];

fn bytes_of(case: &[u8]) -> Vec<u8> {
    match case.strip_suffix(b"POISON") {
        Some(first) => [first, POISON.as_bytes()].concat(),
        None => case.to_vec(),
    }
}

fn stage() -> (Recorder, Program) {
    let recorder = Recorder::start(|request| match request.target().strip_prefix("/case/") {
        Some(nth) => bytes_of(CASES[nth.parse::<usize>().unwrap()].2),
        None if request.start.starts_with("HEAD") => POISON.as_bytes().to_vec(),
        None => ok("next"),
    });
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    place.configure(&format!(
        "{HEAD}credentials: {{ api: {{ grant: {{ type: static, token: t0ken }} }} }}\n\
         upstreams: {{ api: {{ url: \"{url}\", credential: api }} }}\nroutes: {{ api: {{ upstream: api }} }}\n"
    ));
    (recorder, place.run())
}

#[test]
fn an_answer_has_one_reading_and_one_receiver() {
    let (_recorder, program) = stage();
    let mut wrong = Vec::new();
    for (nth, (name, becomes, _)) in CASES.iter().enumerate() {
        let answer = program.send(&Ask::get(&format!("/case/{nth}")));
        let got = match answer.header("x-bearerd-error").as_deref() {
            None => (answer.status(), String::from_utf8(answer.body.clone()).unwrap()),
            Some(code) => (answer.status(), code.to_owned()),
        };
        let is_right = match becomes {
            Passes(status, body) => got == (*status, (*body).to_owned()),
            Refused => got == (502, "upstream_protocol".into()),
        };
        // Whatever was left on that connection is nobody's.
        let next = program.send(&Ask::get("/next"));
        if !is_right || next.body != b"next" {
            wrong.push(format!("{name}: wanted {becomes:?}, got {got:?}, then {next:?}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        CASES.len(),
        wrong.join("\n")
    );
}

/// Again and again on one connection, so that the next request is on its way at once.
#[test]
fn what_an_upstream_says_unasked_answers_nobody() {
    let (_recorder, program) = stage();
    let mut stream = BufReader::new(connect(program.address));
    for nth in 0..200 {
        let poisoned = ["GET /case/20", "HEAD /head", "GET /case/24"][nth % 3];
        for request in [poisoned, "GET /next"] {
            let head = format!("{request} HTTP/1.1\r\nhost: localhost\r\n\r\n");
            stream.get_mut().write_all(head.as_bytes()).unwrap();
            let answer = Message::answer(&mut stream, request.starts_with("HEAD")).expect("an answer");
            if request == "GET /next" {
                assert_eq!(answer.body, b"next", "{nth}: {answer:?}");
            }
        }
    }
}
