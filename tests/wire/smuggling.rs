//! Requests with two readings, sent raw: each is refused, or forwarded in one reading. docs/strictness.md is the table.

use std::io::{BufReader, Read, Write};

use crate::{
    client::connect,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

/// What follows each case on its connection: what the upstream sees besides the case may be this, and nothing else.
const NEXT: &[u8] = b"GET /api/public/next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
const TOKEN: &str = "Bearer t0ken";

/// What becomes of a case.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Becomes {
    /// An answer of our own, with its code.
    Refused(u16, &'static str),
    /// An answer of hyper's parser, which has no code and ends the connection.
    Unreadable(u16),
    /// One request upstream, with this target and body.
    Forwarded(&'static str, &'static [u8]),
}
pub(crate) use Becomes::{Forwarded, Refused, Unreadable};

fn stage() -> (Recorder, Program) {
    let recorder = Recorder::start(|_| ok("{}"));
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    place.configure(&format!(
        "{HEAD}credentials: {{ api: {{ grant: {{ type: static, token: t0ken }} }} }}\n\
         upstreams: {{ api: {{ url: \"{url}/v2\", credential: api }} }}\n\
         routes: {{ api: {{ prefix: /api, upstream: api, allow: [\"* /public/**\"] }} }}\n"
    ));
    (recorder, place.run())
}

/// Sends a case, and holds what came of it against what was expected: the complaint, if there is one.
fn judge((recorder, program): &(Recorder, Program), name: &str, bytes: &[u8], becomes: Becomes) -> Option<String> {
    let before = recorder.seen().len();
    let mut stream = connect(program.address);
    // It may be hung up on in the middle.
    let _ = stream.write_all(&[bytes, NEXT].concat());
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    let mut answers = BufReader::new(&*answers);
    let answer = Message::answer(&mut answers, bytes.starts_with(b"HEAD"));
    let got = answer
        .as_ref()
        .map(|answer| (answer.status(), answer.header("x-bearerd-error")));
    let next = answer.as_ref().and_then(|_| Message::answer(&mut answers, false));

    let mut seen: Vec<_> = recorder
        .seen()
        .split_off(before)
        .into_iter()
        .map(|seen| seen.request)
        .collect();
    seen.retain(|request| request.target() != "/v2/public/next");
    let wrong = |what: &str| {
        Some(format!(
            "{name}: {what}\n  became {becomes:?}; got {got:?}; upstream {seen:?}"
        ))
    };
    let is_credited = |request: &Message| request.values("authorization") == [TOKEN.as_bytes()];
    if !recorder.seen().iter().all(|seen| is_credited(&seen.request)) {
        return wrong("a request went up without the right credential");
    }
    match becomes {
        Refused(status, code) => {
            if got != Some((status, Some(code.into()))) {
                return wrong("another answer");
            }
            if !seen.is_empty() {
                return wrong("it went up all the same");
            }
        }
        Unreadable(status) => {
            if got != Some((status, None)) {
                return wrong("another answer");
            }
            if !seen.is_empty() || next.is_some() {
                return wrong("something went up, or was read, after what can't be read");
            }
        }
        Forwarded(target, body) => {
            if got != Some((200, None)) {
                return wrong("another answer");
            }
            match &*seen {
                [one] if one.target() == target && one.body == body => {}
                _ => return wrong("another request went up"),
            }
        }
    }
    None
}

pub(crate) fn all(cases: &[(&str, Vec<u8>, Becomes)]) {
    let stage = stage();
    let wrong: Vec<_> = cases
        .iter()
        .filter_map(|(name, bytes, becomes)| judge(&stage, name, bytes, *becomes))
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {} cases:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// A GET of this target.
pub(crate) fn get(target: impl AsRef<[u8]>) -> Vec<u8> {
    [b"GET ", target.as_ref(), b" HTTP/1.1\r\nhost: localhost\r\n\r\n"].concat()
}

/// A POST with these lines of a head, each with its end, and what follows it.
pub(crate) fn post(lines: impl AsRef<[u8]>, rest: impl AsRef<[u8]>) -> Vec<u8> {
    let head = b"POST /api/public/a HTTP/1.1\r\nhost: localhost\r\n";
    [&head[..], lines.as_ref(), b"\r\n", rest.as_ref()].concat()
}

pub(crate) const A: &str = "/v2/public/a";
pub(crate) const SMUGGLED: &str = "GET /api/private HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[test]
fn lengths_that_disagree_have_one_reading_or_none() {
    let chunked = "3\r\nabc\r\n0\r\n\r\n";
    let both = |lines: &str| post(lines, format!("{chunked}{SMUGGLED}"));
    let length = |value: &str| post(format!("content-length: {value}\r\n"), "abcde");
    let coding = |value: &str| post(format!("transfer-encoding: {value}\r\n"), chunked);
    let cases = [
        (
            "length, then chunked",
            both("content-length: 4\r\ntransfer-encoding: chunked\r\n"),
            Forwarded(A, b"abc"),
        ),
        (
            "chunked, then length",
            both("transfer-encoding: chunked\r\ncontent-length: 4\r\n"),
            Forwarded(A, b"abc"),
        ),
        (
            "chunked, then no length",
            both("transfer-encoding: chunked\r\ncontent-length: x\r\n"),
            Forwarded(A, b"abc"),
        ),
        (
            "two lengths",
            post("content-length: 5\r\ncontent-length: 6\r\n", "abcde"),
            Unreadable(400),
        ),
        (
            "one length twice",
            post("content-length: 5\r\ncontent-length: 5\r\n", "abcde"),
            Forwarded(A, b"abcde"),
        ),
        ("a list of lengths", length("5, 5"), Unreadable(400)),
        ("a length with a plus", length("+5"), Unreadable(400)),
        ("a length with a minus", length("-5"), Unreadable(400)),
        ("a length in hexadecimal", length("0x5"), Unreadable(400)),
        ("a length in two words", length("5 5"), Unreadable(400)),
        ("no length", length(""), Unreadable(400)),
        ("a length with zeros", length("0005"), Forwarded(A, b"abcde")),
        ("a length with spaces around", length(" \t5 \t"), Forwarded(A, b"abcde")),
        ("a length past 64 bits", length("18446744073709551621"), Unreadable(400)),
        (
            "a GET's body that is a request",
            [
                &b"GET /api/public/a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 46\r\n\r\n"[..],
                SMUGGLED.as_bytes(),
            ]
            .concat(),
            Forwarded(A, SMUGGLED.as_bytes()),
        ),
        ("chunked in capitals", coding("ChunKed"), Forwarded(A, b"abc")),
        ("chunked after a tab", coding("\tchunked"), Forwarded(A, b"abc")),
        ("chunked twice", coding("chunked, chunked"), Refused(400, "bad_request")),
        (
            "chunked in two lines",
            coding("chunked\r\ntransfer-encoding: chunked"),
            Forwarded(A, b"abc"),
        ),
        ("chunked, then identity", coding("chunked, identity"), Unreadable(400)),
        (
            "chunked, then identity in two lines",
            coding("chunked\r\ntransfer-encoding: identity"),
            Unreadable(400),
        ),
        (
            "identity, then chunked",
            coding("identity, chunked"),
            Refused(400, "bad_request"),
        ),
        ("identity", coding("identity"), Unreadable(400)),
        (
            "gzip, then chunked",
            coding("gzip, chunked"),
            Refused(400, "bad_request"),
        ),
        ("x-chunked", coding("xchunked"), Unreadable(400)),
        ("chunked in quotes", coding("\"chunked\""), Unreadable(400)),
        ("chunked with a parameter", coding("chunked;q=1"), Unreadable(400)),
        ("chunked with a vertical tab", coding("chunked\x0b"), Unreadable(400)),
        ("no coding", coding(""), Unreadable(400)),
        (
            "chunked in HTTP/1.0",
            b"POST /api/public/a HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec(),
            Unreadable(400),
        ),
    ];
    all(&cases);
}

#[test]
fn chunks_end_where_they_say_or_the_request_does() {
    let chunks = |rest: &str| post("transfer-encoding: chunked\r\n", rest);
    let broken = Refused(400, "bad_request");
    let cases = [
        (
            "an extension",
            chunks("3;a=b\r\nabc\r\n0\r\n\r\n"),
            Forwarded(A, b"abc"),
        ),
        (
            "a size with zeros",
            chunks("0003\r\nabc\r\n000\r\n\r\n"),
            Forwarded(A, b"abc"),
        ),
        ("a size with 0x", chunks("0x3\r\nabc\r\n0\r\n\r\n"), broken),
        ("a size with a plus", chunks("+3\r\nabc\r\n0\r\n\r\n"), broken),
        ("a size with a minus", chunks("-3\r\nabc\r\n0\r\n\r\n"), broken),
        ("no size", chunks("\r\nabc\r\n0\r\n\r\n"), broken),
        (
            "a size past 64 bits",
            chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"),
            broken,
        ),
        ("a size that ends with a bare LF", chunks("3\nabc\r\n0\r\n\r\n"), broken),
        ("an extension with a bare LF", chunks("3;a\nabc\r\n0\r\n\r\n"), broken),
        ("an extension with a bare CR", chunks("3;a\rabc\r\n0\r\n\r\n"), broken),
        ("data longer than its size", chunks("3\r\nabcd\r\n0\r\n\r\n"), broken),
        ("data that ends with a bare LF", chunks("3\r\nabc\n0\r\n\r\n"), broken),
        (
            "data that ends with two other bytes",
            chunks("3\r\nabcxx0\r\n\r\n"),
            broken,
        ),
        (
            "an extension of 64 KiB",
            chunks(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(65_536))),
            broken,
        ),
        (
            "a trailer without a colon",
            chunks("3\r\nabc\r\n0\r\nno colon\r\n\r\n"),
            broken,
        ),
        (
            "trailers of 64 KiB",
            chunks(&format!("3\r\nabc\r\n0\r\na: {}\r\n\r\n", "a".repeat(65_536))),
            broken,
        ),
        (
            "a trailer that authorizes",
            chunks("3\r\nabc\r\n0\r\nauthorization: Bearer own\r\nhost: evil\r\ncontent-length: 9\r\n\r\n"),
            Forwarded(A, b"abc"),
        ),
    ];
    all(&cases);
}

#[test]
fn lines_that_begin_or_end_oddly_are_refused_or_read_once() {
    let raw = |text: &str| text.as_bytes().to_vec();
    let with = |line: &str| post(format!("{line}\r\n"), "");
    let cases = [
        ("a fold", with("x-a: 1\r\n folded"), Unreadable(400)),
        (
            "a fold of a length",
            post("content-length:\r\n 5\r\n", "abcde"),
            Unreadable(400),
        ),
        (
            "a field that begins with a space",
            post(" transfer-encoding: chunked\r\n", ""),
            Unreadable(400),
        ),
        (
            "a space before the colon",
            with("transfer-encoding : chunked"),
            Unreadable(400),
        ),
        ("a tab before the colon", with("content-length\t: 5"), Unreadable(400)),
        ("a space in a name", with("x a: 1"), Unreadable(400)),
        ("a bracket in a name", with("x(a): 1"), Unreadable(400)),
        ("no name", with(": 1"), Unreadable(400)),
        ("no colon", with("content-length 5"), Unreadable(400)),
        ("NUL in a value", with("x-a: 1\x002"), Unreadable(400)),
        ("NUL in a name", with("x\x00a: 1"), Unreadable(400)),
        ("a bare CR in a value", with("x-a: 1\rx-b: 2"), Unreadable(400)),
        (
            "a bare CR before the end",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\rx: 1\r\n\r\n"),
            Unreadable(400),
        ),
        ("a vertical tab in a value", with("x-a: 1\x0b2"), Unreadable(400)),
        ("bytes past ASCII in a name", with("x-\u{e9}: 1"), Unreadable(400)),
        (
            "bare LFs",
            raw("GET /api/public/a HTTP/1.1\nhost: localhost\n\n"),
            Forwarded(A, b""),
        ),
        (
            "a bare LF after the request line",
            raw("GET /api/public/a HTTP/1.1\nhost: localhost\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "a bare LF after a field",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\nx-a: 1\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "a bare LF before the body",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\n"),
            Forwarded(A, b""),
        ),
        (
            "an empty line first",
            raw("\r\nGET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "a space first",
            raw(" GET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "two spaces",
            raw("GET  /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "a tab for a space",
            raw("GET\t/api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        ("a space in the target", get("/api/public/a b"), Unreadable(400)),
        ("NUL in the target", get("/api/public/a\0"), Unreadable(400)),
        (
            "no version",
            raw("GET /api/public/a\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        ("HTTP/0.9", raw("GET /api/public/a\r\n"), Unreadable(400)),
        (
            "HTTP/1.2",
            raw("GET /api/public/a HTTP/1.2\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "HTTP/1.10",
            raw("GET /api/public/a HTTP/1.10\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "HTTP/2.0",
            raw("GET /api/public/a HTTP/2.0\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "http/1.1",
            raw("GET /api/public/a http/1.1\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "a version with a space",
            raw("GET /api/public/a HTTP/1.1 \r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "a bracket in the method",
            raw("GE(T /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Unreadable(400),
        ),
        (
            "a target of 70 KiB",
            get(format!("/api/public/{}", "a".repeat(70_000))),
            Unreadable(414),
        ),
        (
            "a field of 1 MiB",
            with(&format!("x-a: {}", "a".repeat(1024 * 1024))),
            Unreadable(431),
        ),
        (
            "a thousand fields",
            with("x-a: 1\r\n".repeat(1000).trim_end()),
            Unreadable(431),
        ),
    ];
    all(&cases);
}

#[test]
fn a_request_is_for_one_host_and_by_one_method() {
    let raw = |text: &str| text.as_bytes().to_vec();
    let bad = Refused(400, "bad_request");
    let cases = [
        ("another target than a path", raw("GET * HTTP/1.1\r\nhost: localhost\r\n\r\n"), bad),
        ("no host", raw("GET /api/public/a HTTP/1.1\r\n\r\n"), bad),
        ("two hosts", raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n\r\n"), bad),
        ("an empty host", raw("GET /api/public/a HTTP/1.1\r\nhost:\r\n\r\n"), bad),
        ("a user in the host", raw("GET /api/public/a HTTP/1.1\r\nhost: a@localhost\r\n\r\n"), bad),
        ("a path in the host", raw("GET /api/public/a HTTP/1.1\r\nhost: localhost/a\r\n\r\n"), bad),
        ("another host", raw("GET /api/public/a HTTP/1.1\r\nhost: evil.example\r\n\r\n"), Refused(421, "unknown_host")),
        ("another host in the target", raw("GET http://evil.example/api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"), bad),
        ("another host in both", raw("GET http://evil.example/api/public/a HTTP/1.1\r\nhost: evil.example\r\n\r\n"), Refused(421, "unknown_host")),
        ("a user in the target", raw("GET http://localhost@evil.example/api/public/a HTTP/1.1\r\nhost: evil.example\r\n\r\n"), bad),
        ("the same host in both", raw("GET http://localhost/api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"), Forwarded(A, b"")),
        ("dots in an absolute target", raw("GET http://localhost/api/public/../private HTTP/1.1\r\nhost: localhost\r\n\r\n"), Refused(403, "not_allowed")),
        ("CONNECT", raw("CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n\r\n"), bad),
        ("TRACE", raw("TRACE /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"), bad),
        ("connection names the host", raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nconnection: host, authorization\r\n\r\n"), Forwarded(A, b"")),
        ("connection names the length", post("content-length: 3\r\nconnection: content-length\r\n", "abc"), Forwarded(A, b"abc")),
        ("connection names the coding", post("transfer-encoding: chunked\r\nconnection: transfer-encoding\r\n", "3\r\nabc\r\n0\r\n\r\n"), Forwarded(A, b"abc")),
        ("an upgrade to HTTP/2", raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n"), Forwarded(A, b"")),
        ("an upgrade that is refused, and a request behind it", [raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"), SMUGGLED.into()].concat(), Forwarded(A, b"")),
        ("an expectation, and a body that waits for nothing", post("content-length: 3\r\nexpect: 100-continue\r\n", "abc"), Forwarded(A, b"abc")),
        ("an unlisted path behind a listed one", [get("/api/public/a"), SMUGGLED.into()].concat(), Forwarded(A, b"")),
    ];
    all(&cases);
}

#[test]
fn a_path_has_one_reading() {
    let bad = Refused(400, "bad_request");
    let closed = Refused(403, "not_allowed");
    let cases = [
        ("plain", "/api/public/a", Forwarded(A, b"")),
        ("dots", "/api/public/../private", closed),
        ("encoded dots", "/api/public/%2e%2e/private", closed),
        ("one encoded dot", "/api/public/.%2E/private", closed),
        ("dots that lead back", "/api/private/../public/a", Forwarded(A, b"")),
        ("dots above the root", "/../../api/public/a", bad),
        ("dots out of the prefix", "/api/../api/public/a", Forwarded(A, b"")),
        ("an encoded slash", "/api/public%2fa", closed),
        ("dots beside an encoded slash", "/api/public/..%2fprivate", bad),
        ("dots between encoded slashes", "/api/public/x%2f..%2f..%2fprivate", bad),
        ("a dot beside an encoded slash", "/api/public/.%2Fa", bad),
        ("two slashes", "/api//public///a", Forwarded(A, b"")),
        ("two slashes first", "//api/public/a", Forwarded(A, b"")),
        ("one dot", "/api/./public/./a", Forwarded(A, b"")),
        ("encoded letters", "/api/%70ublic/%61", Forwarded(A, b"")),
        ("encoded twice", "/api/public/%252e%252e/private", bad),
        ("a parameter", "/api/public/a;b=c", Forwarded("/v2/public/a;b=c", b"")),
        ("dots with a parameter", "/api/public/..;/private", bad),
        ("dots with a parameter's text", "/api/public/..;x=y/private", bad),
        ("encoded dots with a parameter", "/api/public/%2e%2e;/private", bad),
        ("dots with an encoded parameter", "/api/public/..%3b/private", bad),
        ("one dot with a parameter", "/api/public/.;/a", bad),
        ("a backslash", "/api/public\\..\\private", bad),
        ("an encoded backslash", "/api/public/..%5cprivate", bad),
        ("NUL, encoded", "/api/public/a%00", bad),
        ("a line's end, encoded", "/api/public/a%0d%0ax:%201", bad),
        ("overlong dots", "/api/public/%c0%ae%c0%ae/private", bad),
        ("an overlong slash", "/api/public/..%c0%afprivate", bad),
        ("half a character", "/api/public/%c3", bad),
        ("a percent sign alone", "/api/public/%", bad),
        ("a percent sign with one digit", "/api/public/%2", bad),
        ("a percent sign with other letters", "/api/public/%u002e", bad),
        (
            "a fragment, which ends here",
            "/api/public/a#/../../private",
            Forwarded(A, b""),
        ),
        ("other capitals", "/API/public/a", Refused(404, "no_route")),
        ("a longer prefix", "/apipublic/a", Refused(404, "no_route")),
        (
            "the query's dots are its own",
            "/api/public/a?/../../private",
            Forwarded("/v2/public/a?/../../private", b""),
        ),
        ("no path", "api/public/a", Unreadable(400)),
    ];
    let cases: Vec<_> = cases.map(|(name, target, becomes)| (name, get(target), becomes)).into();
    all(&cases);
}
