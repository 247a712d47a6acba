//! Frames, one type after the other (RFC 9113 §3.4, §4 and §6).

use super::{
    Answer, Ended, FLOW_CONTROL, FRAME_SIZE, Nothing, PROTOCOL, Reset, STREAM_CLOSED, all, judge,
    peer::{
        ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FRAME, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
        PUSH_PROMISE, Peer, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, WITH_PRIORITY, frame, request, settings_of,
    },
    stage,
};

fn get() -> Vec<u8> {
    request("GET", "/api/public/a", &[])
}

#[test]
fn section_3_4_a_connection_begins_with_the_preface() {
    let (_recorder, program) = stage();
    let mut peer = Peer::silent(program.address);
    // All at once, without waiting for what the server says.
    let hello = [PREFACE, &frame(SETTINGS, 0, 0, &settings_of(&[(1, 0)]))].concat();
    peer.say(&[hello, frame(HEADERS, WHOLE, 1, &get())].concat());
    assert_eq!(judge("the preface", &mut peer, Answer(200)), None);
    for wrong in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        b"PRI * HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let mut peer = Peer::silent(program.address);
        peer.say(&[wrong, &frame(SETTINGS, 0, 0, b"")].concat());
        let bytes = peer.rest();
        assert!(
            bytes.is_empty() || bytes.starts_with(b"HTTP/1.1 400 "),
            "{wrong:?}: {bytes:?}"
        );
    }
    let mut peer = Peer::silent(program.address);
    peer.say(&[PREFACE, &frame(HEADERS, WHOLE, 1, &get())].concat());
    assert_eq!(judge("3.4 no settings first", &mut peer, Ended(&[PROTOCOL])), None);
}

#[test]
fn section_4_frames_have_bounds_and_unknown_ones_are_left_alone() {
    all(&[
        (
            "4.1 an unknown type",
            |peer| peer.frame(0xff, 0, 0, b"12345678"),
            Nothing,
        ),
        (
            "4.1 unknown flags",
            |peer| peer.frame(PING, 0x16, 0, b"12345678"),
            Nothing,
        ),
        (
            "4.1 the reserved bit",
            |peer| peer.frame(PING, 0, 0x8000_0000, b"12345678"),
            Nothing,
        ),
        (
            "4.2 the largest DATA",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM, 1, &[b'a'; FRAME]);
            },
            Answer(200),
        ),
        (
            "4.2 a larger DATA",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM, 1, &[b'a'; FRAME + 1]);
            },
            Reset(&[FRAME_SIZE]),
        ),
        (
            "4.2 a larger HEADERS",
            |peer| {
                let long = "a".repeat(FRAME);
                let block = request("GET", "/api/public/a", &[("x-long", &long)]);
                peer.frame(HEADERS, WHOLE, 1, &block);
            },
            Ended(&[FRAME_SIZE]),
        ),
        (
            "4.3 PRIORITY within a field block",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "4.3 HEADERS of another stream within a field block",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                peer.frame(HEADERS, WHOLE, 3, &get());
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "5.5 an unknown frame on a stream",
            |peer| {
                peer.post(1, &[]);
                peer.frame(0xfe, 0, 1, b"");
                peer.frame(DATA, END_STREAM, 1, b"a");
            },
            Answer(200),
        ),
        (
            "5.5 an unknown frame within a field block",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                peer.frame(0xfe, 0, 0, b"12345678");
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
            },
            Ended(&[PROTOCOL]),
        ),
    ]);
}

#[test]
fn section_6_1_data() {
    all(&[
        (
            "DATA, in several frames",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, 0, 1, b"abc");
                peer.frame(DATA, 0, 1, b"");
                peer.frame(DATA, END_STREAM, 1, b"def");
            },
            Answer(200),
        ),
        (
            "DATA with padding",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM | PADDED, 1, b"\x05abc\0\0\0\0\0");
            },
            Answer(200),
        ),
        (
            "nothing but padding",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM | PADDED, 1, b"\x02\0\0");
            },
            Answer(200),
        ),
        (
            "of the connection",
            |peer| peer.frame(DATA, 0, 0, b"a"),
            Ended(&[PROTOCOL]),
        ),
        (
            "padding as long as the payload",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM | PADDED, 1, b"\x05abcd");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "padded, and empty",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, END_STREAM | PADDED, 1, b"");
            },
            Ended(&[PROTOCOL, FRAME_SIZE]),
        ),
    ]);
}

#[test]
fn section_6_2_headers_and_6_10_continuation() {
    all(&[
        ("HEADERS", |peer| peer.frame(HEADERS, WHOLE, 1, &get()), Answer(200)),
        (
            "HEADERS with padding",
            |peer| peer.frame(HEADERS, WHOLE | PADDED, 1, &[&[4], &*get(), &[0; 4]].concat()),
            Answer(200),
        ),
        (
            "HEADERS with a priority",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE | WITH_PRIORITY,
                    1,
                    &[&[0, 0, 0, 0, 255], &*get()].concat(),
                )
            },
            Answer(200),
        ),
        (
            "with padding and a priority",
            |peer| {
                let payload = [&[2, 0x80, 0, 0, 0, 255], &*get(), &[0; 2]].concat();
                peer.frame(HEADERS, WHOLE | PADDED | WITH_PRIORITY, 1, &payload);
            },
            Answer(200),
        ),
        (
            "of the connection",
            |peer| peer.frame(HEADERS, WHOLE, 0, &get()),
            Ended(&[PROTOCOL]),
        ),
        (
            "padding as long as the payload",
            |peer| peer.frame(HEADERS, WHOLE | PADDED, 1, &[&[255], &*get()].concat()),
            Ended(&[PROTOCOL]),
        ),
        (
            "half a priority",
            |peer| peer.frame(HEADERS, WHOLE | WITH_PRIORITY, 1, &[0, 0, 0]),
            Ended(&[PROTOCOL, FRAME_SIZE]),
        ),
        (
            "5.3.1 a priority that depends on itself",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE | WITH_PRIORITY,
                    1,
                    &[&[0, 0, 0, 1, 255], &*get()].concat(),
                )
            },
            Reset(&[PROTOCOL]),
        ),
        (
            "CONTINUATION, several",
            |peer| {
                let block = get();
                peer.frame(HEADERS, END_STREAM, 1, &block[..3]);
                peer.frame(CONTINUATION, 0, 1, &block[3..9]);
                peer.frame(CONTINUATION, 0, 1, b"");
                peer.frame(CONTINUATION, END_HEADERS, 1, &block[9..]);
            },
            Answer(200),
        ),
        (
            "CONTINUATION, then DATA",
            |peer| {
                peer.frame(HEADERS, 0, 1, &get());
                peer.frame(CONTINUATION, 0, 1, b"");
                peer.frame(DATA, END_STREAM, 1, b"a");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION of the connection",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                peer.frame(CONTINUATION, END_HEADERS, 0, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION of another stream",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                peer.frame(CONTINUATION, END_HEADERS, 3, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION after a head that has ended",
            |peer| {
                peer.frame(HEADERS, END_HEADERS, 1, &request("POST", "/api/public/a", &[]));
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION after the last CONTINUATION",
            |peer| {
                peer.frame(HEADERS, 0, 1, &request("POST", "/api/public/a", &[]));
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION after DATA",
            |peer| {
                peer.post(1, &[]);
                peer.frame(DATA, 0, 1, b"a");
                peer.frame(CONTINUATION, END_HEADERS, 1, b"");
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION first",
            |peer| peer.frame(CONTINUATION, END_HEADERS, 1, &get()),
            Ended(&[PROTOCOL]),
        ),
        (
            "CONTINUATION without end",
            |peer| {
                peer.frame(HEADERS, END_STREAM, 1, &get());
                for _ in 0..2000 {
                    peer.frame(CONTINUATION, 0, 1, b"");
                }
            },
            Ended(&[PROTOCOL, 11]),
        ),
    ]);
}

#[test]
fn sections_6_3_and_6_4_priority_and_reset() {
    all(&[
        (
            "PRIORITY, of a stream to come",
            |peer| {
                for (weight, stream) in [(0, 3), (255, 5)] {
                    peer.frame(PRIORITY, 0, stream, &[0, 0, 0, 0, weight]);
                }
                peer.frame(PRIORITY, 0, 7, &[0x80, 0, 0, 5, 15]);
                peer.get(1, "/api/public/a");
            },
            Answer(200),
        ),
        (
            "PRIORITY of a stream that has ended",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.answered(1);
                peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 15]);
            },
            Nothing,
        ),
        (
            "PRIORITY of the connection",
            |peer| peer.frame(PRIORITY, 0, 0, &[0, 0, 0, 0, 15]),
            Ended(&[PROTOCOL]),
        ),
        (
            "PRIORITY of four bytes",
            |peer| {
                peer.post(1, &[]);
                peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 0]);
            },
            Reset(&[FRAME_SIZE]),
        ),
        (
            "5.3.1 PRIORITY that depends on itself",
            |peer| {
                peer.post(1, &[]);
                peer.frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 15]);
            },
            Reset(&[PROTOCOL]),
        ),
        (
            "RST_STREAM",
            |peer| {
                peer.post(1, &[]);
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
            },
            Nothing,
        ),
        (
            "7 RST_STREAM with an unknown code",
            |peer| {
                peer.post(1, &[]);
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff]);
            },
            Nothing,
        ),
        (
            "RST_STREAM of the connection",
            |peer| peer.frame(RST_STREAM, 0, 0, &[0, 0, 0, 8]),
            Ended(&[PROTOCOL]),
        ),
        (
            "RST_STREAM of an idle stream",
            |peer| peer.frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]),
            Ended(&[PROTOCOL]),
        ),
        (
            "RST_STREAM of three bytes",
            |peer| {
                peer.post(1, &[]);
                peer.frame(RST_STREAM, 0, 1, &[0, 0, 8]);
            },
            Ended(&[FRAME_SIZE]),
        ),
    ]);
}

#[test]
fn section_6_5_settings() {
    all(&[
        (
            "SETTINGS",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(3, 100)])),
            Nothing,
        ),
        (
            "an unknown one",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(0xff, 1)])),
            Nothing,
        ),
        (
            "an acknowledgement with content",
            |peer| peer.frame(SETTINGS, ACK, 0, &[0]),
            Ended(&[FRAME_SIZE]),
        ),
        (
            "of a stream",
            |peer| peer.frame(SETTINGS, 0, 1, &settings_of(&[(3, 100)])),
            Ended(&[PROTOCOL]),
        ),
        (
            "of seven bytes",
            |peer| peer.frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100, 0]),
            Ended(&[FRAME_SIZE]),
        ),
        (
            "ENABLE_PUSH 2",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(2, 2)])),
            Ended(&[PROTOCOL]),
        ),
        (
            "INITIAL_WINDOW_SIZE past 31 bits",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(4, 0x8000_0000)])),
            Ended(&[FLOW_CONTROL]),
        ),
        (
            "MAX_FRAME_SIZE too small",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(5, 16_383)])),
            Ended(&[PROTOCOL]),
        ),
        (
            "MAX_FRAME_SIZE too large",
            |peer| peer.frame(SETTINGS, 0, 0, &settings_of(&[(5, 1 << 24)])),
            Ended(&[PROTOCOL]),
        ),
        (
            "6.5.3 each is acknowledged",
            |peer| {
                peer.take(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
                peer.frame(SETTINGS, 0, 0, &settings_of(&[(4, 100)]));
                peer.take(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
            },
            Nothing,
        ),
        (
            "6.5.3 the last of several counts",
            |peer| {
                peer.frame(SETTINGS, 0, 0, &settings_of(&[(4, 100), (4, 1)]));
                peer.take(|frame| frame.kind == SETTINGS && frame.flags == ACK).unwrap();
                peer.get(1, "/api/public/a");
                let data = peer.take(|frame| frame.kind == DATA && frame.stream == 1).unwrap();
                assert_eq!(data.payload.len(), 1);
            },
            Answer(200),
        ),
    ]);
}

#[test]
fn sections_6_6_to_6_8_push_ping_and_goaway() {
    all(&[
        (
            "8.4 PUSH_PROMISE of a client",
            |peer| {
                peer.post(1, &[]);
                peer.frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &*get()].concat());
            },
            Ended(&[PROTOCOL]),
        ),
        (
            "PING is answered with what it holds",
            |peer| {
                peer.frame(PING, 0, 0, b"\x01\x02\x03\x04\x05\x06\x07\x08");
                let pong = peer.take(|frame| frame.kind == PING).unwrap();
                assert_eq!(
                    (pong.flags, &*pong.payload),
                    (ACK, &b"\x01\x02\x03\x04\x05\x06\x07\x08"[..])
                );
            },
            Nothing,
        ),
        (
            "PING's answer unasked",
            |peer| peer.frame(PING, ACK, 0, b"whatever"),
            Nothing,
        ),
        (
            "PING of a stream",
            |peer| peer.frame(PING, 0, 1, b"12345678"),
            Ended(&[PROTOCOL]),
        ),
        (
            "PING of six bytes",
            |peer| peer.frame(PING, 0, 0, b"123456"),
            Ended(&[FRAME_SIZE]),
        ),
        (
            "GOAWAY of a stream",
            |peer| peer.frame(GOAWAY, 0, 1, &[0; 8]),
            Ended(&[PROTOCOL]),
        ),
        (
            "GOAWAY of four bytes",
            |peer| peer.frame(GOAWAY, 0, 0, &[0; 4]),
            Ended(&[FRAME_SIZE, PROTOCOL]),
        ),
    ]);
}

#[test]
fn section_6_8_what_is_open_is_answered_after_a_farewell() {
    let (_recorder, program) = stage();
    for code in [0, 0xff] {
        let mut peer = Peer::open(program.address);
        peer.get(1, "/api/public/a");
        peer.frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, code]);
        assert_eq!(judge("7 GOAWAY with an unknown code", &mut peer, Answer(200)), None);
    }
}

#[test]
fn section_6_9_windows() {
    const MOST: &[u8] = &[0x7f, 0xff, 0xff, 0xff];
    all(&[
        (
            "WINDOW_UPDATE of both",
            |peer| {
                peer.post(1, &[]);
                peer.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
                peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
                peer.frame(DATA, END_STREAM, 1, b"a");
            },
            Answer(200),
        ),
        (
            "by nothing",
            |peer| peer.frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            Ended(&[PROTOCOL]),
        ),
        (
            "by nothing, of a stream",
            |peer| {
                peer.post(1, &[]);
                peer.frame(WINDOW_UPDATE, 0, 1, &[0; 4]);
            },
            Reset(&[PROTOCOL]),
        ),
        (
            "of three bytes",
            |peer| peer.frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1]),
            Ended(&[FRAME_SIZE]),
        ),
        (
            "of an idle stream",
            |peer| peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
            Ended(&[PROTOCOL]),
        ),
        (
            "past 31 bits",
            |peer| {
                peer.frame(WINDOW_UPDATE, 0, 0, MOST);
                peer.frame(WINDOW_UPDATE, 0, 0, MOST);
            },
            Ended(&[FLOW_CONTROL]),
        ),
        (
            "past 31 bits, of a stream",
            |peer| {
                peer.post(1, &[]);
                peer.frame(WINDOW_UPDATE, 0, 1, MOST);
                peer.frame(WINDOW_UPDATE, 0, 1, MOST);
            },
            Reset(&[FLOW_CONTROL]),
        ),
        (
            "of a stream that has ended",
            |peer| {
                peer.get(1, "/api/public/a");
                peer.answered(1);
                peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]);
            },
            Nothing,
        ),
        (
            "6.9.1 more than the window",
            |peer| {
                peer.post(1, &[]);
                // More than any window that a server opens before it was read from.
                for _ in 0..1024 {
                    peer.frame(DATA, 0, 1, &[b'a'; FRAME]);
                }
            },
            Reset(&[FLOW_CONTROL, STREAM_CLOSED]),
        ),
    ]);
}

#[test]
fn section_6_9_2_a_window_may_become_negative() {
    let (_recorder, program) = stage();
    let mut peer = Peer::with(program.address, &[(4, 3)]);
    peer.get(1, "/api/public/a");
    let data = |frame: &super::peer::Frame| frame.kind == DATA && frame.stream == 1;
    assert_eq!(peer.take(data).unwrap().payload.len(), 3);
    // Two less than nothing; then one more than nothing.
    peer.frame(SETTINGS, 0, 0, &settings_of(&[(4, 1)]));
    peer.frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 3]);
    let one = peer.take(data).unwrap();
    assert_eq!((&*one.payload, one.flags & END_STREAM), (&b"4"[..], 0));
    peer.frame(SETTINGS, 0, 0, &settings_of(&[(4, 2)]));
    assert_eq!(peer.take(data).unwrap().payload, b"5");
}
