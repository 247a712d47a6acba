//! A real listener, and whatever bytes chance sends it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use crate::{
    client::Ask,
    mutate::mutated,
    program::{HEAD, Place},
    seeds,
    upstream::Upstream,
};

/// How long is waited for more: what was sent is there already.
const PATIENCE: Duration = Duration::from_millis(100);

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"\xc0\xae",
    b"%2e%2e",
    b"%2f",
    b"%5c",
    b"%00",
    b"%",
    b"..",
    b"//",
    b"\\",
    b";",
    b"#",
    b"?",
    b"*",
    b"@",
    b",",
    b"\r\n ",
    b"0\r\n\r\n",
    b"5\r\nabcde\r\n",
    b"ffffffffffffffff\r\n",
    b"3;a=b\r\n",
    b"/v2/private",
    b"/api/private",
    b"/api/public/../private",
    b"GET /api/private HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"host: localhost\r\n",
    b"host: evil.example\r\n",
    b"content-length: 5\r\n",
    b"content-length: 0\r\n",
    b"Content-Length : 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: x\r\n",
    b"Transfer-Encoding\t: chunked\r\n",
    b"transfer_encoding: chunked\r\n",
    b"connection: close, authorization\r\n",
    b"connection: host\r\n",
    b"authorization: Bearer own\r\n",
    b"x_own: 1\r\n",
    b"x-forwarded-for: 1\r\n",
    b"expect: 100-continue\r\n",
    b"upgrade: websocket\r\nconnection: upgrade\r\n",
    b"http://localhost",
    b"http://evil.example",
    b"HEAD ",
    b"POST ",
    b"CONNECT ",
    b"OPTIONS ",
    b"TRACE ",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// HTTP/2, in frames whose parts are chance's.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let head = |path: &[u8], more: &[u8]| {
        let text = |text: &[u8]| [&[text.len() as u8][..], text].concat();
        [&[0x82, 0x86, 0x04][..], &text(path), &[0x01], &text(b"localhost"), more].concat()
    };
    let path = prop::sample::select(vec![
        &b"/api/public/a"[..],
        b"/api/private",
        b"/api/public/../private",
        b"/api/public/a b",
        b"*",
        b"",
        b"/api/public/a\r\nx: y",
    ]);
    let field = prop::collection::vec(prop::sample::select(WORDS), 0..3).prop_map(|words| {
        let value = words.concat();
        [
            &[0x00, 0x03][..],
            b"x-a",
            &[value.len() as u8 & 0x7f],
            &value[..value.len() & 0x7f],
        ]
        .concat()
    });
    let payload = prop_oneof![
        4 => (path, field).prop_map(move |(path, field)| head(path, &field)),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::sample::select(WORDS).prop_map(<[u8]>::to_vec),
    ];
    let kind = prop_oneof![4 => Just(1_u8), 2 => Just(0), 4 => 0_u8..12];
    let flags = prop_oneof![3 => Just(5_u8), 1 => Just(4), 2 => any::<u8>()];
    let stream = prop::sample::select(vec![0_u32, 1, 1, 1, 2, 3, 5, 0x7fff_ffff]);
    let frame = (kind, flags, stream, payload).prop_map(|(kind, flags, stream, payload)| {
        let length = (payload.len() as u32).to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), &payload].concat()
    });
    prop::collection::vec(frame, 0..6).prop_map(|frames| {
        [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..],
            &frames.concat(),
        ]
        .concat()
    })
}

/// Sends a case, and a good request behind it, which a parser that has lost its way would take for another; reads what comes.
fn send(to: SocketAddr, case: &[u8]) {
    let next = b"\r\n\r\nGET /api/public/next HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    let Ok(mut stream) = TcpStream::connect(to) else { return };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    // It may hang up in the middle, and it may wait for more.
    let _ = stream.write_all(case).and_then(|()| stream.write_all(next));
    let mut answers = [0; 4096];
    while stream.read(&mut answers).is_ok_and(|read| read > 0) {}
    let _ = stream.shutdown(Shutdown::Both);
}

/// Whatever is sent: the program lives, and the upstream sees no path off the list, nothing without our credential, and
/// nothing that could be read in two ways.
#[expect(clippy::print_stderr, reason = "shown with --nocapture, or when the test fails")]
#[test]
fn nothing_gets_past_a_listener() {
    let upstream = Upstream::start();
    let place = Place::new();
    std::fs::write(place.path("ca.pem"), "").unwrap();
    place.configure(&format!(
        "{}credentials: {{ api: {{ grant: {{ type: static, token: t0ken }} }} }}\n\
         upstreams: {{ api: {{ url: \"http://localhost:{}/v2\", credential: api, headers: {{ x-own: \"1\" }} }} }}\n\
         routes: {{ api: {{ prefix: /api, upstream: api, allow: [\"* /public/**\"] }} }}\n",
        HEAD.replace("tls: { ca: DIR/ca.pem }\n", "")
            .replace("level: trace", "level: info, access: false"),
        upstream.address.port(),
    ));
    let program = place.run();
    let made = AtomicUsize::new(0);
    let corpus = seeds("tests/fuzz/seeds", ".http");
    let clock = bearerd::clock::Clock::system();
    let start = clock.monotonic();
    std::thread::scope(|scope| {
        // Most of the time is spent waiting for what doesn't come.
        for _ in 0..8 {
            scope.spawn(|| {
                let cases = prop_oneof![
                    8 => mutated(corpus.clone(), WORDS),
                    2 => frames(),
                    1 => prop::collection::vec(any::<u8>(), 0..64),
                ];
                let mut runner = TestRunner::default();
                while clock.monotonic().saturating_sub(start) < 4 * crate::budget() {
                    let case = cases.new_tree(&mut runner).unwrap().current();
                    send(program.address, &case);
                    made.fetch_add(1, Ordering::Relaxed);
                    // Another's case may be meant, but one of eight.
                    let wrong = upstream.wrong();
                    assert!(
                        wrong.is_empty(),
                        "{wrong:?}\nafter {:?}",
                        case.escape_ascii().to_string()
                    );
                }
            });
        }
    });
    let answer = program.send(&Ask::get("/api/public/last"));
    assert_eq!((answer.status(), &*answer.body), (200, &b"ok"[..]), "it still answers");
    let whole = upstream.whole();
    eprintln!(
        "stack: {} cases, of which {whole} requests went up",
        made.load(Ordering::Relaxed)
    );
    assert!(whole > 10, "some of them are good");
    let (status, log, _) = program.end();
    assert!(status.success(), "{status}: {log}");
    assert!(!log.contains("panic") && !log.contains("fault in bearerd"), "{log}");
}
