//! More requests with two readings: tricks that have worked on other servers, by what they play on.

use crate::smuggling::{A, Becomes, Forwarded, Refused, SMUGGLED, Unreadable, all, get, post};

const BAD: Becomes = Refused(400, "bad_request");
const CLOSED: Becomes = Refused(403, "not_allowed");
const UNREADABLE: Becomes = Unreadable(400);

fn raw(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    bytes.as_ref().to_vec()
}

/// A POST of these bytes for a line, beside a length of five.
fn beside_a_length(line: &[u8]) -> Vec<u8> {
    post([line, b"\r\ncontent-length: 5\r\n"].concat(), "0\r\n\r\n")
}

/// Each plays on one server's seeing a coding, and the other's not: what is not read as one must be no field at all.
#[test]
fn a_coding_is_seen_by_all_or_by_none() {
    let cases: [(_, &[u8], _); 19] = [
        ("a vertical tab before it", b"transfer-encoding:\x0bchunked", UNREADABLE),
        ("a form feed before it", b"transfer-encoding: \x0cchunked", UNREADABLE),
        ("NUL behind it", b"transfer-encoding: chunked\0", UNREADABLE),
        ("a line's end before it", b"transfer-encoding:\n chunked", UNREADABLE),
        ("CR before it", b"transfer-encoding:\rchunked", UNREADABLE),
        ("CR in its name", b"transfer-encoding\r: chunked", UNREADABLE),
        (
            "a fold before its name",
            b"x-a: b\r\n transfer-encoding: chunked",
            UNREADABLE,
        ),
        (
            "CR for a line's end before it",
            b"x-a: b\rtransfer-encoding: chunked",
            UNREADABLE,
        ),
        (
            "no-break space before it",
            b"transfer-encoding: \xa0chunked",
            UNREADABLE,
        ),
        (
            "a byte past ASCII in its name",
            b"transfer-enc\xf6ding: chunked",
            UNREADABLE,
        ),
        ("single quotes", b"transfer-encoding: 'chunked'", UNREADABLE),
        (
            "a cow behind it",
            b"transfer-encoding: chunked\r\ntransfer-encoding: cow",
            UNREADABLE,
        ),
        (
            "a cow before it",
            b"transfer-encoding: cow\r\ntransfer-encoding: chunked",
            BAD,
        ),
        ("an empty item before it", b"transfer-encoding: , chunked", BAD),
        ("a colon behind its colon", b"transfer-encoding:: chunked", UNREADABLE),
        // A bare LF ends a line, so this is a coding, and it counts.
        (
            "LF for a line's end before it",
            b"x-a: b\ntransfer-encoding: chunked",
            Forwarded(A, b""),
        ),
        // These are no codings, and no server may take them for one.
        (
            "an underscore",
            b"transfer_encoding: chunked",
            Forwarded(A, b"0\r\n\r\n"),
        ),
        (
            "a letter too many",
            b"xtransfer-encoding: chunked",
            Forwarded(A, b"0\r\n\r\n"),
        ),
        (
            "named by connection",
            b"transfer-encoding: chunked\r\nconnection: transfer-encoding",
            Forwarded(A, b""),
        ),
    ];
    all(&cases.map(|(name, line, becomes)| (name, beside_a_length(line), becomes)));
}

#[test]
fn a_length_is_a_number_and_one() {
    let of = |lines: &[u8]| post([lines, b"\r\n"].concat(), "abcde");
    let cases = [
        ("NUL before it", of(b"content-length: \x005"), UNREADABLE),
        ("a no-break space before it", of(b"content-length:\xa05"), UNREADABLE),
        ("NUL before its name", of(b"\0content-length: 5"), UNREADABLE),
        ("CR in its name", of(b"content-length\r: 5"), UNREADABLE),
        ("CR behind it", of(b"content-length: 5\rx-a: b"), UNREADABLE),
        ("with a point", of(b"content-length: 5.0"), UNREADABLE),
        ("with an exponent", of(b"content-length: 5e0"), UNREADABLE),
        ("with an underscore", of(b"content-length: 5_0"), UNREADABLE),
        ("in octal", of(b"content-length: 0o5"), UNREADABLE),
        (
            "twice, the second in zeros",
            of(b"content-length: 5\r\ncontent-length: 05"),
            Forwarded(A, b"abcde"),
        ),
        (
            "twice, the second a list",
            of(b"content-length: 5\r\ncontent-length: 5, 5"),
            UNREADABLE,
        ),
        (
            "twice, the second empty",
            of(b"content-length: 5\r\ncontent-length:"),
            UNREADABLE,
        ),
        ("an Arabic five", of("content-length: \u{0665}".as_bytes()), UNREADABLE),
        (
            "under another name",
            of(b"content-length: 5\r\ncontent_length: 0"),
            Forwarded(A, b"abcde"),
        ),
        (
            "an expectation that is none",
            of(b"content-length: 5\r\nexpect: y 100-continue"),
            Forwarded(A, b"abcde"),
        ),
        (
            "an expectation in HTTP/1.0",
            raw(
                "POST /api/public/a HTTP/1.0\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\nabcde",
            ),
            Forwarded(A, b"abcde"),
        ),
    ];
    all(&cases);
}

#[test]
fn chunks_that_two_servers_count_differently() {
    let chunks = |rest: &[u8]| post("transfer-encoding: chunked\r\n", rest);
    let after_zero = |rest: &str| chunks(format!("3\r\nabc\r\n0\r\n{rest}").as_bytes());
    let cases = [
        (
            "capitals",
            chunks(b"A\r\n0123456789\r\n0\r\n\r\n"),
            Forwarded(A, b"0123456789"),
        ),
        (
            "many zeros",
            chunks(b"3\r\nabc\r\n00000000000\r\n\r\n"),
            Forwarded(A, b"abc"),
        ),
        ("a space before a size", chunks(b" 3\r\nabc\r\n0\r\n\r\n"), BAD),
        ("an underscore in a size", chunks(b"1_0\r\nabc\r\n0\r\n\r\n"), BAD),
        ("a size of 2^64", chunks(b"10000000000000000\r\nabc\r\n0\r\n\r\n"), BAD),
        (
            "a size of 2^64 + 3 with zeros",
            chunks(b"00010000000000000003\r\nabc\r\n0\r\n\r\n"),
            BAD,
        ),
        ("a size with h", chunks(b"3h\r\nabc\r\n0\r\n\r\n"), BAD),
        ("a size with NUL", chunks(b"3\0\r\nabc\r\n0\r\n\r\n"), BAD),
        ("a size with a vertical tab", chunks(b"3\x0b\r\nabc\r\n0\r\n\r\n"), BAD),
        ("CR twice behind a size", chunks(b"3\r\r\nabc\r\n0\r\n\r\n"), BAD),
        ("CR alone behind a size", chunks(b"3\rabc\r\n0\r\n\r\n"), BAD),
        ("CR alone behind data", chunks(b"3\r\nabc\r0\r\n\r\n"), BAD),
        ("LF twice", chunks(b"3\n\nabc\n\n0\n\n"), BAD),
        ("LF within an extension", chunks(b"3;x\nyy\r\nabc\r\n0\r\n\r\n"), BAD),
        (
            "quotes that hold a line's end",
            chunks(b"3;a=\"\r\nabc\r\n0\r\n\r\n\""),
            Forwarded(A, b"abc"),
        ),
        (
            "extensions of each chunk",
            chunks(format!("{}0\r\n\r\n", "1;aaaaaaaa\r\nx\r\n".repeat(40)).as_bytes()),
            Forwarded(A, &[b'x'; 40]),
        ),
        (
            "extensions without end",
            chunks(format!("{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(40)).as_bytes()),
            BAD,
        ),
        ("an end without its end", after_zero(""), BAD),
        ("LF behind the end", after_zero("\n"), BAD),
        (
            "a request for trailers",
            after_zero(&SMUGGLED.replace("\r\nhost", "\r\nx: y\r\nhost")),
            BAD,
        ),
        ("a trailer with a space in its name", after_zero("a b: c\r\n\r\n"), BAD),
        ("a trailer with a fold", after_zero("a: b\r\n c: d\r\n\r\n"), BAD),
        ("a trailer with CR", after_zero("a: b\rc: d\r\n\r\n"), BAD),
        ("a trailer with NUL", after_zero("a: b\0c\r\n\r\n"), BAD),
        (
            "trailers that frame",
            after_zero("transfer-encoding: chunked\r\ncontent-length: 3\r\nconnection: x-a\r\nx-a: 1\r\n\r\n"),
            Forwarded(A, b"abc"),
        ),
    ];
    all(&cases);
}

#[test]
fn lines_that_two_servers_end_differently() {
    let cases = [
        (
            "CR alone for all ends",
            raw("GET /api/public/a HTTP/1.1\rhost: localhost\r\r"),
            UNREADABLE,
        ),
        (
            "LF and CR",
            raw("GET /api/public/a HTTP/1.1\n\rhost: localhost\n\r\n\r"),
            UNREADABLE,
        ),
        (
            "CR twice",
            raw("GET /api/public/a HTTP/1.1\r\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "a line separator",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nx-a: b\u{2028}authorization: Bearer own\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "next line",
            raw(b"GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nx-a: b\x85authorization: Bearer own\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "an encoded line's end",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nx-a: b%0d%0aauthorization: Bearer own\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "NUL before a name",
            raw("GET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\0x-a: b\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "a request in a request line",
            raw("GET /api/public/a HTTP/1.1 GET /api/private HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "a method in small letters",
            raw("get /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            Forwarded(A, b""),
        ),
        (
            "PRI, to a server that speaks HTTP/2 too",
            raw("PRI * HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            BAD,
        ),
        (
            "HTTP/1.2",
            raw("GET /api/public/a HTTP/1.2\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "HTTP/11",
            raw("GET /api/public/a HTTP/11\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "HTTP/1,1",
            raw("GET /api/public/a HTTP/1,1\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "a client hello of TLS",
            raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
            UNREADABLE,
        ),
        (
            "a byte order mark",
            raw("\u{feff}GET /api/public/a HTTP/1.1\r\nhost: localhost\r\n\r\n"),
            UNREADABLE,
        ),
    ];
    all(&cases);
}

#[test]
fn hosts_that_two_servers_read_differently() {
    let host = |host: &str| raw(format!("GET /api/public/a HTTP/1.1\r\nhost: {host}\r\n\r\n"));
    let target = |target: &str| raw(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    let unknown = Refused(421, "unknown_host");
    let cases = [
        ("a list", host("localhost, evil.example"), BAD),
        ("two by a space", host("localhost evil.example"), BAD),
        ("two by a tab", host("localhost\tevil.example"), BAD),
        ("a port in words", host("localhost:http"), BAD),
        ("a port with a sign", host("localhost:+80"), BAD),
        ("a port past 16 bits", host("localhost:65616"), BAD),
        ("two ports", host("localhost:80:80"), BAD),
        ("a port and another host", host("localhost:80@evil.example"), BAD),
        ("a fragment", host("localhost#evil.example"), BAD),
        ("a query", host("localhost?evil.example"), BAD),
        ("a backslash", host("localhost\\evil.example"), BAD),
        ("an encoded NUL", host("localhost%00.evil.example"), BAD),
        ("a longer name", host("localhost.evil.example"), unknown),
        ("a name that ends so", host("evillocalhost"), unknown),
        ("an address in decimal", host("2130706433"), unknown),
        ("an address in octal", host("0177.0.0.1"), unknown),
        ("a short address", host("127.1"), unknown),
        ("zero", host("0.0.0.0"), unknown),
        ("a zone", host("[::1%25lo]"), unknown),
        ("half an address", host("[::1"), BAD),
        ("the address of loopback", host("[::1]:8080"), Forwarded(A, b"")),
        ("a final dot", host("localhost."), Forwarded(A, b"")),
        ("in capitals", host("LOCALHOST"), Forwarded(A, b"")),
        (
            "named in a second way",
            raw(
                "GET /api/public/a HTTP/1.1\r\nhost: localhost\r\nx-forwarded-host: evil.example\r\nforwarded: host=evil.example\r\n\r\n",
            ),
            Forwarded(A, b""),
        ),
        (
            "two, one in HTTP/1.0",
            raw("GET /api/public/a HTTP/1.0\r\nhost: localhost\r\nhost: evil.example\r\n\r\n"),
            BAD,
        ),
        (
            "an absolute target of another port",
            target("http://localhost:8081/api/public/a"),
            BAD,
        ),
        (
            "an absolute target of its own port",
            target("http://localhost:80/api/public/a"),
            Forwarded(A, b""),
        ),
        (
            "an absolute target of another user",
            target("http://evil.example@localhost/api/public/a"),
            BAD,
        ),
        (
            "an absolute target without a host",
            target("http:///api/public/a"),
            UNREADABLE,
        ),
        (
            "an absolute target of another scheme",
            target("ftp://localhost/api/public/a"),
            BAD,
        ),
        (
            "an absolute target in HTTP/1.0, of another host",
            raw("GET http://evil.example/api/public/a HTTP/1.0\r\n\r\n"),
            unknown,
        ),
        ("an authority for a target", target("localhost:80"), BAD),
        ("a name for a target", target("localhost"), BAD),
        (
            "slashes that could begin an authority",
            target("//evil.example/api/public/a"),
            Refused(404, "no_route"),
        ),
        (
            "backslashes that could begin an authority",
            target("/\\evil.example/api/public/a"),
            BAD,
        ),
        (
            "slashes that begin an authority behind dots",
            target("/.//evil.example/..//api/public/a"),
            Forwarded(A, b""),
        ),
    ];
    all(&cases);
}

#[test]
fn paths_that_two_servers_read_differently() {
    let cases = [
        ("parameters of dots, encoded", "/api/public/%2e%2e%3bx/private", BAD),
        ("an encoded dot and a parameter", "/api/public/.%2e;a=b/private", BAD),
        (
            "dots behind a parameter",
            "/api/public/;/../private",
            Forwarded("/v2/public/private", b""),
        ),
        ("a parameter of the listed segment", "/api/public;/a", CLOSED),
        ("a parameter of the prefix", "/api;x/public/a", Refused(404, "no_route")),
        ("a parameter that is empty", "/;/api/public/a", Refused(404, "no_route")),
        ("dots with a space", "/api/public/..%20/private", BAD),
        ("dots with a no-break space", "/api/public/..%c2%a0/private", BAD),
        ("a dot with a space before it", "/api/public/%20./a", BAD),
        ("NUL between dots", "/api/public/.%00./private", BAD),
        ("NUL behind dots", "/api/public/..%00/private", BAD),
        ("a line's end between dots", "/api/public/.%0a./private", BAD),
        ("DEL", "/api/public/%7f", BAD),
        (
            "three dots",
            "/api/public/.../private",
            Forwarded("/v2/public/.../private", b""),
        ),
        (
            "four dots and two slashes",
            "/api/public/....//private",
            Forwarded("/v2/public/..../private", b""),
        ),
        ("slashes between dots", "/api/public//..//..//api//private", CLOSED),
        (
            "dots before an encoded slash, twice encoded",
            "/api/public/..%252fprivate",
            BAD,
        ),
        (
            "dots before a backslash, twice encoded",
            "/api/public/..%255cprivate",
            BAD,
        ),
        ("encoded three times", "/api/public/%25252e%25252e/private", BAD),
        ("each sign encoded twice", "/api/public/%25%32%65%25%32%65/private", BAD),
        (
            "overlong, in three bytes",
            "/api/public/%e0%80%ae%e0%80%ae/private",
            BAD,
        ),
        ("overlong, in four bytes", "/api/public/%f0%80%80%af/private", BAD),
        ("overlong, with a plain half", "/api/public/%c0.%c0./private", BAD),
        ("a surrogate", "/api/public/%ed%a0%80", BAD),
        (
            "UTF-7",
            "/api/public/+AC4-+AC4-/private",
            Forwarded("/v2/public/+AC4-+AC4-/private", b""),
        ),
        (
            "another percent sign",
            "/api/public/%ef%bc%852e",
            Forwarded("/v2/public/%EF%BC%852e", b""),
        ),
        (
            "a listed path behind an encoded mark",
            "/api/private%3f/../public/a",
            Forwarded(A, b""),
        ),
        (
            "an unlisted path before an encoded mark",
            "/api/private%3f/public/a",
            CLOSED,
        ),
        (
            "an unlisted path before an encoded fragment",
            "/api/private%23/public/a",
            CLOSED,
        ),
        ("a fragment of a listed path", "/api/private#/public/a", CLOSED),
        ("a fragment that is a query", "/api/private?#/../public/a", CLOSED),
        ("two marks", "/api/private??/../public/a", CLOSED),
        ("a listed path in a query", "/api/private?/api/public/a", CLOSED),
        ("capitals of the listed segment", "/api/PUBLIC/a", CLOSED),
        ("the listed segment with a dot", "/api/public./a", CLOSED),
        ("the listed segment with a space", "/api/public%20/a", CLOSED),
        ("the listed segment as a stream", "/api/public::$DATA/a", CLOSED),
        ("a long s", "/api/publi%c5%bf/a", CLOSED),
        ("the base path twice", "/api/../v2/private", Refused(404, "no_route")),
        (
            "out of the base path",
            "/api/public/../../v2/../private",
            Refused(404, "no_route"),
        ),
        ("a wildcard", "/api/*/a", CLOSED),
        ("the pattern itself", "/api/public/**", Forwarded("/v2/public/**", b"")),
        (
            "what templates are made of",
            "/api/public/%24%7benv:HOME%7d",
            Forwarded("/v2/public/%24%7Benv:HOME%7D", b""),
        ),
    ];
    let cases: Vec<_> = cases.map(|(name, target, becomes)| (name, get(target), becomes)).into();
    all(&cases);
    all(&[
        ("a byte past ASCII", get(b"/api/public/\xff"), UNREADABLE),
        (
            "overlong, raw",
            get(b"/api/public/\xc0\xae\xc0\xae/private"),
            UNREADABLE,
        ),
        (
            "text past ASCII",
            get("/api/public/\u{e4}"),
            Forwarded("/v2/public/%C3%A4", b""),
        ),
        ("DEL, raw", get("/api/public/\x7f"), UNREADABLE),
        ("a tab, raw", get("/api/public/a\tb"), UNREADABLE),
    ]);
}

/// Of a path that is closed, no field may say that it is meant.
#[test]
fn what_names_another_path_or_method_ends_where_some_are_closed() {
    use crate::{
        client::Ask,
        program::{HEAD, Place},
        recorder::{Recorder, ok},
    };
    let recorder = Recorder::start(|_| ok("{}"));
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    place.configure(&format!(
        "{HEAD}upstreams: {{ api: {{ url: \"{url}\" }} }}\nroutes:\n  \
         some: {{ prefix: /some, upstream: api, allow: [\"GET /public/**\"] }}\n  all: {{ prefix: /all, upstream: api }}\n"
    ));
    let program = place.run();
    let fields = [
        "x-original-url",
        "x-rewrite-url",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "x_http_method_override",
    ];
    for (route, is_left) in [("some", false), ("all", true)] {
        let mut ask = Ask::get(&format!("/{route}/public/a"));
        for field in fields {
            ask = ask.header(field, "/private");
        }
        assert_eq!(program.send(&ask).status(), 200);
        let names = recorder.last().request.names();
        for field in fields {
            assert_eq!(names.iter().any(|name| name == field), is_left, "{route}: {field}");
        }
    }
}
