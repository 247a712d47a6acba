//! Callers that speak HTTP/1.0, and requests as a person types them.

use std::io::{BufReader, Read, Write};

use crate::{
    client::connect,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

fn stage() -> (Recorder, Program) {
    let recorder = Recorder::start(|request| match request.target() {
        "/chunks" => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n".to_vec(),
        _ => ok("{}"),
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

/// Everything that comes back until the connection ends.
fn said(program: &Program, request: &str) -> String {
    let mut stream = connect(program.address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_request_typed_by_hand_is_answered() {
    let (recorder, program) = stage();
    for request in ["GET /a HTTP/1.0\n\n", "GET /a HTTP/1.0\r\n\r\n"] {
        let answer = said(&program, request);
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n{}"), "{answer}");
        let arrived = recorder.last().request;
        assert_eq!(arrived.start, "GET /a HTTP/1.1");
        assert_eq!(arrived.header("authorization").as_deref(), Some("Bearer t0ken"));
    }
}

#[test]
fn http_1_0_gets_no_chunks_and_an_end_that_it_knows() {
    let (_recorder, program) = stage();
    for asked in ["", "connection: keep-alive\r\n"] {
        let answer = said(&program, &format!("GET /chunks HTTP/1.0\r\n{asked}\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "abcdef");
        let head = head.to_ascii_lowercase();
        assert!(
            !head.contains("transfer-encoding") && !head.contains("keep-alive"),
            "{head}"
        );
    }
}

#[test]
fn http_1_0_keeps_its_connection_where_it_asks_and_a_length_is_known() {
    let (_recorder, program) = stage();
    let mut stream = BufReader::new(connect(program.address));
    for _ in 0..3 {
        let request = b"GET /a HTTP/1.0\r\nhost: localhost\r\nconnection: Keep-Alive\r\n\r\n";
        stream.get_mut().write_all(request).unwrap();
        let answer = Message::answer(&mut stream, false).expect("an answer");
        assert_eq!((answer.status(), &*answer.body), (200, &b"{}"[..]));
        assert_eq!(answer.header("connection").as_deref(), Some("keep-alive"));
    }
    stream.get_mut().write_all(b"GET /a HTTP/1.0\r\n\r\n").unwrap();
    Message::answer(&mut stream, false).expect("an answer");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "one that doesn't ask is hung up on");
}

#[test]
fn a_question_about_the_server_is_answered_without_an_upstream() {
    let (recorder, program) = stage();
    let options = "OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let answer = said(&program, options);
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n"), "{answer}");
    assert!(said(&program, &options.replace("localhost", "evil.example")).starts_with("HTTP/1.1 421 "));
    assert!(recorder.seen().is_empty());
}

#[test]
fn an_application_may_take_it_for_its_proxy() {
    let (recorder, program) = stage();
    let host = format!("localhost:{}", program.address.port());
    let fields = "proxy-connection: keep-alive\r\nconnection: close\r\n\r\n";
    let answer = said(
        &program,
        &format!("GET http://{host}/a?b=c HTTP/1.1\r\nhost: {host}\r\n{fields}"),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let arrived = recorder.last().request;
    assert_eq!(
        (&*arrived.start, arrived.header("proxy-connection")),
        ("GET /a?b=c HTTP/1.1", None)
    );
    let connect = format!("CONNECT api.example:443 HTTP/1.1\r\nhost: api.example:443\r\n{fields}");
    let answer = said(&program, &connect);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("CONNECT asks for a tunnel"),
        "{answer}"
    );
}

#[test]
fn an_offered_upgrade_takes_no_answer_away() {
    let (_recorder, program) = stage();
    // As `curl --http2` sends a large body, here to a listener by a name that it doesn't have.
    let refused = "POST /a HTTP/1.1\r\nhost: elsewhere.example\r\nconnection: upgrade\r\nupgrade: h2c\r\n\
        expect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    let answer = said(&program, refused);
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    // The offer stays with the connection; what ends it later is answered all the same.
    let offered = "GET /a HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n";
    let answers = said(&program, &format!("{offered}no request\r\n\r\n"));
    let statuses: Vec<&str> = answers
        .matches("HTTP/1.1 200")
        .chain(answers.matches("HTTP/1.1 400"))
        .collect();
    assert_eq!(statuses.len(), 2, "{answers}");
}
