//! Requests that are malformed (RFC 9113 §8): none goes up, and each ends its stream.

use super::{
    Answer, Becomes, PROTOCOL, Reset, all,
    peer::{DATA, END_HEADERS, END_STREAM, Got, HEADERS, PADDED, Peer, WHOLE, field, fields, request},
    stage,
};

const BAD: Becomes = Reset(&[PROTOCOL]);

#[test]
fn section_8_1_exchanges() {
    all(&[
        ("GET", |peer| peer.get(1, "/api/public/a"), Answer(200)),
        (
            "HEAD",
            |peer| peer.frame(HEADERS, WHOLE, 1, &request("HEAD", "/api/public/a", &[])),
            Answer(200),
        ),
        (
            "POST with trailers",
            |peer| {
                peer.post(1, &[("trailer", "x-sum")]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(HEADERS, WHOLE, 1, &field("x-sum", "7"));
            },
            Answer(200),
        ),
        (
            "trailers that don't end the stream",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(HEADERS, END_HEADERS, 1, &field("x-sum", "7"));
            },
            BAD,
        ),
        (
            "a second head",
            |peer| {
                peer.post(1, &[]);
                peer.frame(HEADERS, END_HEADERS, 1, &request("POST", "/api/public/a", &[]));
            },
            BAD,
        ),
        (
            "8.1 a pseudo-header field in trailers",
            |peer| {
                peer.post(1, &[]);
                peer.frame(HEADERS, WHOLE, 1, &field(":method", "GET"));
            },
            BAD,
        ),
        (
            "as long as it says",
            |peer| {
                peer.post(1, &[("content-length", "6")]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(DATA, END_STREAM, 1, b"def");
            },
            Answer(200),
        ),
        (
            "longer than it says",
            |peer| {
                peer.post(1, &[("content-length", "1")]);
                peer.frame(DATA, END_STREAM, 1, b"abc");
            },
            BAD,
        ),
        (
            "longer than it says, in several frames",
            |peer| {
                peer.post(1, &[("content-length", "4")]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(DATA, END_STREAM, 1, b"def");
            },
            BAD,
        ),
        (
            "shorter than it says",
            |peer| {
                peer.post(1, &[("content-length", "4")]);
                peer.frame(DATA, END_STREAM, 1, b"abc");
            },
            BAD,
        ),
        (
            "shorter than it says, with trailers",
            |peer| {
                peer.post(1, &[("content-length", "4")]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(HEADERS, WHOLE, 1, &field("x-sum", "7"));
            },
            BAD,
        ),
    ]);
}

/// What is wrong with a head is seen before anything goes up.
#[test]
fn section_8_2_and_8_3_malformed_heads() {
    let (recorder, program) = stage();
    let own = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/api/public/a"),
        (":authority", "localhost"),
    ];
    let with = |more: &[(&str, &str)]| fields(&[&own[..], more].concat());
    let without = |name: &str| {
        let left: Vec<_> = own.into_iter().filter(|(own, _)| *own != name).collect();
        fields(&left)
    };
    let instead = |name: &str, value: &str| [without(name), field(name, value)].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("8.2.1 a name in capitals", with(&[("X-Test", "a")])),
        ("8.2.1 a space in a name", with(&[("x test", "a")])),
        ("8.2.1 an empty name", with(&[("", "a")])),
        ("8.2.1 a colon in a name", with(&[("x:test", "a")])),
        ("8.2.1 bytes past ASCII in a name", with(&[("x-\u{e9}", "a")])),
        ("8.2.1 CR in a value", with(&[("x-test", "a\rb: c")])),
        ("8.2.1 LF in a value", with(&[("x-test", "a\nb: c")])),
        (
            "8.2.1 CRLF in a value",
            with(&[("x-test", "a\r\nauthorization: Bearer own")]),
        ),
        ("8.2.1 NUL in a value", with(&[("x-test", "a\0b")])),
        ("8.2.1 CRLF in a name", with(&[("x-test: a\r\nb", "c")])),
        ("8.2.2 connection", with(&[("connection", "close")])),
        ("8.2.2 keep-alive", with(&[("keep-alive", "1")])),
        ("8.2.2 proxy-connection", with(&[("proxy-connection", "close")])),
        ("8.2.2 transfer-encoding", with(&[("transfer-encoding", "chunked")])),
        ("8.2.2 upgrade", with(&[("upgrade", "websocket")])),
        (
            "8.2.2 TE with something else",
            with(&[("te", "trailers, deflate;q=0.5")]),
        ),
        ("8.3 an unknown pseudo-header field", with(&[(":test", "a")])),
        ("8.3 one of answers", with(&[(":status", "200")])),
        (
            "8.3 one behind other fields",
            [without(":path"), field("x-test", "a"), field(":path", "/api/public/a")].concat(),
        ),
        ("8.3.1 an empty path", instead(":path", "")),
        ("8.3.1 no method", without(":method")),
        ("8.3.1 no scheme", without(":scheme")),
        ("8.3.1 no path", without(":path")),
        ("8.3.1 two methods", with(&[(":method", "POST")])),
        ("8.3.1 two schemes", with(&[(":scheme", "https")])),
        ("8.3.1 two paths", with(&[(":path", "/api/private")])),
        ("8.3.1 two authorities", with(&[(":authority", "localhost")])),
        ("a method with a space", instead(":method", "GET /api/private HTTP/1.1")),
        ("CRLF in the method", instead(":method", "GET / HTTP/1.1\r\nx: y")),
        ("an empty method", instead(":method", "")),
        ("a path with a space", instead(":path", "/api/public/a HTTP/1.1")),
        (
            "CRLF in the path",
            instead(":path", "/api/public/a HTTP/1.1\r\nx: y\r\n\r\n"),
        ),
        (
            "a path of another origin",
            instead(":path", "http://evil.example/api/public/a"),
        ),
        ("a path without a slash", instead(":path", "api/public/a")),
        ("CRLF in the authority", instead(":authority", "localhost\r\nx: y")),
        ("a user in the authority", instead(":authority", "a@localhost")),
        ("a path in the authority", instead(":authority", "localhost/api")),
        ("a scheme that is none", instead(":scheme", "ht tp")),
        ("CONNECT", instead(":method", "CONNECT")),
        ("TRACE", instead(":method", "TRACE")),
        ("another Host than the authority", with(&[("host", "evil.example")])),
        ("two Hosts", with(&[("host", "localhost"), ("host", "localhost")])),
        ("two lengths", with(&[("content-length", "0"), ("content-length", "5")])),
        ("a length in words", with(&[("content-length", "five")])),
        ("a length with a sign", with(&[("content-length", "+0")])),
        ("a length, and nothing", with(&[("content-length", "5")])),
    ];
    let mut wrong = Vec::new();
    for (name, block) in &cases {
        let before = recorder.seen().len();
        let mut peer = Peer::open(program.address);
        peer.frame(HEADERS, WHOLE, 1, block);
        let got = peer.outcome();
        // By the parser, or by an answer of our own.
        if !matches!(got, Got::Reset(PROTOCOL) | Got::Goaway(PROTOCOL) | Got::Answer(400)) {
            wrong.push(format!("{name}: {got:?}"));
        }
        for seen in recorder.seen().split_off(before) {
            wrong.push(format!("{name}: went up as {:?}", seen.request));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// One request of HTTP/1.1, whatever the frames were like.
#[test]
fn what_goes_up_is_framed_anew() {
    let (recorder, program) = stage();
    let mut peer = Peer::open(program.address);
    let more = [
        ("cookie", "a=b"),
        ("content-length", "6"),
        ("cookie", "c=d"),
        ("transfer_encoding", "chunked"),
        ("x-space", " \t a b \t "),
        ("x-empty", ""),
        ("expect", "100-continue"),
    ];
    peer.post(1, &more);
    peer.frame(DATA, 0, 1, b"GET / ");
    peer.frame(DATA, END_STREAM | PADDED, 1, b"\x04\0\0\0\0");
    assert_eq!(peer.outcome(), Got::Answer(200));
    let arrived = recorder.last().request;
    assert_eq!(arrived.start, "POST /v2/public/a HTTP/1.1");
    assert_eq!(arrived.body, b"GET / ");
    assert_eq!(arrived.header("cookie").as_deref(), Some("a=b; c=d"));
    assert_eq!(arrived.header("content-length").as_deref(), Some("6"));
    assert_eq!(arrived.header("x-space").as_deref(), Some("a b"));
    let mut names = arrived.names();
    names.sort();
    let expected = [
        "authorization",
        "content-length",
        "cookie",
        "host",
        "x-empty",
        "x-request-id",
        "x-space",
    ];
    assert_eq!(names, expected);
}
