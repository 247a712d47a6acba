//! The states of a stream, and how many there may be (RFC 9113 §5).

use super::{
    Act, Answer, Closed, Ended, Nothing, PROTOCOL, REFUSED, Reset, STREAM_CLOSED, all, judge,
    peer::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, Got, HEADERS, PRIORITY, Peer, RST_STREAM, SETTINGS, WHOLE,
        WINDOW_UPDATE, fields, request,
    },
    stage,
};

fn get() -> Vec<u8> {
    request("GET", "/api/public/a", &[])
}

#[test]
fn section_5_1_each_state_takes_what_it_takes() {
    all(&[
        (
            "idle: DATA",
            |peer| peer.frame(DATA, END_STREAM, 1, b"a"),
            Ended(&[PROTOCOL]),
        ),
        (
            "idle: RST_STREAM",
            |peer| peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            Ended(&[PROTOCOL]),
        ),
        (
            "idle: WINDOW_UPDATE",
            |peer| peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]),
            Ended(&[PROTOCOL]),
        ),
        (
            "idle: CONTINUATION",
            |peer| peer.frame(CONTINUATION, END_HEADERS, 1, &get()),
            Ended(&[PROTOCOL]),
        ),
        (
            "idle: PRIORITY",
            |peer| peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]),
            Nothing,
        ),
        (
            "half closed: WINDOW_UPDATE and PRIORITY",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
                peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]);
            },
            Answer(200),
        ),
        (
            "half closed: RST_STREAM",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            },
            Nothing,
        ),
        (
            "half closed: DATA",
            |peer| {
                peer.frame(HEADERS, WHOLE, 1, &request("POST", "/api/public/a", &[]));
                peer.frame(DATA, END_STREAM, 1, b"a");
            },
            Reset(&[STREAM_CLOSED]),
        ),
        (
            "half closed: HEADERS",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.frame(HEADERS, WHOLE, 1, &get());
            },
            Reset(&[STREAM_CLOSED]),
        ),
        (
            "half closed: CONTINUATION",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.frame(CONTINUATION, END_HEADERS, 1, &get());
            },
            Ended(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "reset: CONTINUATION",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
                peer.frame(CONTINUATION, END_HEADERS, 1, &get());
            },
            Ended(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "closed: CONTINUATION",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.answered(1);
                peer.frame(CONTINUATION, END_HEADERS, 1, &get());
            },
            Ended(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "closed: RST_STREAM",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.answered(1);
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            },
            Nothing,
        ),
    ]);
}

#[test]
fn section_5_1_a_closed_stream_carries_no_second_request() {
    let (recorder, program) = stage();
    let closings: [(&str, Act); 2] = [
        ("reset", |peer| {
            peer.frame(HEADERS, END_HEADERS, 1, &request("POST", "/api/public/a", &[]));
            peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
        }),
        ("answered", |peer| {
            peer.get(1, "/api/public/a");
            assert_eq!(peer.answered(1), 5);
        }),
    ];
    let mut wrong = Vec::new();
    for (how, close) in closings {
        for (kind, flags) in [(DATA, END_STREAM), (HEADERS, WHOLE)] {
            let mut peer = Peer::open(program.address);
            close(&mut peer);
            let block = request("GET", "/api/public/smuggled", &[]);
            peer.frame(kind, flags, 1, &block);
            let name = format!("closed, {how}: {}", if kind == DATA { "DATA" } else { "HEADERS" });
            wrong.extend(judge(&name, &mut peer, Closed));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    let seen = recorder.seen();
    assert!(
        seen.iter().all(|seen| seen.request.target() == "/v2/public/a"),
        "{seen:?}"
    );
}

#[test]
fn section_5_1_1_identifiers_are_odd_and_grow() {
    all(&[
        ("an even one", |peer| peer.get(2, "/api/public/a"), Ended(&[PROTOCOL])),
        (
            "a smaller one",
            |peer| {
                peer.get(5, "/api/public/a");
                peer.answered(5);
                peer.watched = 3;
                peer.get(3, "/api/public/a");
            },
            Ended(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "one that leaves others out",
            |peer| {
                peer.watched = 101;
                peer.get(101, "/api/public/a");
            },
            Answer(200),
        ),
        (
            "the largest",
            |peer| {
                peer.watched = 0x7fff_ffff;
                peer.get(0x7fff_ffff, "/api/public/a");
            },
            Answer(200),
        ),
    ]);
}

#[test]
fn section_5_1_2_more_streams_than_there_may_be_are_refused() {
    let (_recorder, program) = stage();
    let mut peer = Peer::silent(program.address);
    peer.say(super::peer::PREFACE);
    peer.frame(SETTINGS, 0, 0, b"");
    let settings = peer.take(|frame| frame.kind == SETTINGS && frame.flags == 0).unwrap();
    let named = settings.payload.chunks(6).find(|setting| setting[..2] == [0, 3]);
    let most = named.map(|setting| u32::from_be_bytes(setting[2..].try_into().unwrap()));
    let most = most.expect("a bound");
    assert!((1..=1000).contains(&most), "{most}");
    for nth in 0..=most {
        peer.post(1 + 2 * nth, &[]);
    }
    peer.watched = 1 + 2 * most;
    assert_eq!(judge("one more", &mut peer, Reset(&[REFUSED, PROTOCOL])), None);
    // And none of the others is the worse for it.
    peer.frame(DATA, END_STREAM, 1, b"a");
    peer.watched = 1;
    assert_eq!(judge("the first", &mut peer, Answer(200)), None);
}

#[test]
fn section_5_4_1_an_error_of_the_connection_is_told_and_ends_it() {
    let (_recorder, program) = stage();
    let mut peer = Peer::open(program.address);
    peer.get(1, "/api/public/a");
    peer.answered(1);
    peer.frame(super::peer::PING, 0, 1, b"12345678");
    let farewell = peer.take(|frame| frame.kind == GOAWAY).expect("a farewell");
    assert_eq!(
        farewell.payload[..8],
        [0, 0, 0, 1, 0, 0, 0, 1],
        "its last stream, and why"
    );
    assert!(peer.rest().is_empty(), "and then the end");
}

#[test]
fn a_storm_of_resets_ends_its_connection_and_no_other() {
    let (_recorder, program) = stage();
    let mut peer = Peer::open(program.address);
    for nth in 0..5000 {
        peer.get(1 + 2 * nth, "/api/public/a");
        peer.frame(RST_STREAM, 0, 1 + 2 * nth, &[0, 0, 0, 8]);
    }
    // ENHANCE_YOUR_CALM; what was written after that may have reset the connection.
    peer.watched = 0;
    let got = peer.outcome_at_once();
    assert!(matches!(got, Got::Goaway(11) | Got::HungUp), "{got:?}");
    let mut peer = Peer::open(program.address);
    peer.frame(
        HEADERS,
        WHOLE,
        1,
        &fields(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "localhost"),
            (":path", "/api/public/a"),
        ]),
    );
    assert_eq!(judge("another connection", &mut peer, Answer(200)), None);
}
