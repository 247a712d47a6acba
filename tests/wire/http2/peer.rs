//! An HTTP/2 client that sends whatever it is told to, frame by frame (RFC 9113).

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::client::connect;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const WITH_PRIORITY: u8 = 0x20;
/// A request whose head is all there is.
pub(super) const WHOLE: u8 = END_STREAM | END_HEADERS;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The largest frame that a peer takes before it says otherwise (RFC 9113 §6.5.2).
pub(super) const FRAME: usize = 16_384;

/// Answered once everything before them was read.
const LAST: [&[u8; 8]; 2] = [b"the last", b"the end!"];

/// A frame that came.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

/// What came of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Got {
    /// The head of an answer on the watched stream, with this status.
    Answer(u16),
    /// The watched stream was reset, with this code.
    Reset(u32),
    /// The connection ended, with this code.
    Goaway(u32),
    /// The connection ended without a word.
    HungUp,
    /// Nothing: the ping after it was answered.
    Nothing,
}

pub(super) struct Peer {
    stream: TcpStream,
    /// The stream that a case is about.
    pub(super) watched: u32,
    /// Frames that were read before they were asked for.
    read: Vec<Frame>,
}

impl Peer {
    /// A connection, over which nothing was said.
    pub(super) fn silent(to: SocketAddr) -> Self {
        Self {
            stream: connect(to),
            watched: 1,
            read: Vec::new(),
        }
    }

    /// A connection, with the preface and these settings; the server's own have come, and were acknowledged.
    pub(super) fn with(to: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut peer = Self::silent(to);
        peer.say(PREFACE);
        // No table, so that each answer's first byte tells its status.
        let own = [&[(1, 0)], settings].concat();
        peer.frame(SETTINGS, 0, 0, &settings_of(&own));
        while peer
            .take(|frame| frame.kind == SETTINGS && frame.flags & ACK == 0)
            .is_none()
        {}
        peer.frame(SETTINGS, ACK, 0, b"");
        peer
    }

    /// The same, with no settings to speak of.
    pub(super) fn open(to: SocketAddr) -> Self {
        Self::with(to, &[])
    }

    /// Bytes as they are. The other side may have hung up: what comes of that is seen when it is read from.
    pub(super) fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    pub(super) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.say(&frame(kind, flags, stream, payload));
    }

    /// A request without a body.
    pub(super) fn get(&mut self, stream: u32, path: &str) {
        self.frame(HEADERS, WHOLE, stream, &request("GET", path, &[]));
    }

    /// A request whose body is still to come.
    pub(super) fn post(&mut self, stream: u32, fields: &[(&str, &str)]) {
        self.frame(HEADERS, END_HEADERS, stream, &request("POST", "/api/public/a", fields));
    }

    /// The next frame; `None` at the connection's end.
    fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff,
            payload,
        })
    }

    /// Everything that comes until the connection's end.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // It may end with a reset.
        let _ = self.stream.read_to_end(&mut bytes);
        bytes
    }

    /// Reads until such a frame, and keeps the others; `None` at the connection's end.
    pub(super) fn take(&mut self, wanted: impl Fn(&Frame) -> bool) -> Option<Frame> {
        if let Some(at) = self.read.iter().position(&wanted) {
            return Some(self.read.remove(at));
        }
        loop {
            let next = self.next()?;
            if wanted(&next) {
                return Some(next);
            }
            self.read.push(next);
        }
    }

    /// Reads the answer on this stream to its end: how many bytes its body has.
    pub(super) fn answered(&mut self, stream: u32) -> usize {
        let mut length = 0;
        loop {
            let own = |frame: &Frame| frame.stream == stream && matches!(frame.kind, DATA | HEADERS | RST_STREAM);
            let Some(frame) = self.take(own) else { return length };
            if frame.kind == DATA {
                length += frame.payload.len();
            }
            if frame.kind == RST_STREAM || frame.flags & END_STREAM != 0 {
                return length;
            }
        }
    }

    /// What came of everything so far, where an answer or a reset is to come.
    pub(super) fn outcome(&mut self) -> Got {
        let watched = self.watched;
        self.first(|frame| frame.stream == watched && matches!(frame.kind, HEADERS | RST_STREAM))
    }

    /// What came of everything so far, where nothing has to.
    pub(super) fn outcome_at_once(&mut self) -> Got {
        let watched = self.watched;
        // An answer to a ping overtakes a reset; one to a second ping doesn't.
        for last in LAST {
            self.frame(PING, 0, 0, last);
            let got = self.first(|frame| {
                (frame.kind == RST_STREAM && frame.stream == watched) || (frame.kind == PING && frame.payload == last)
            });
            if got != Got::Nothing {
                return got;
            }
        }
        Got::Nothing
    }

    fn first(&mut self, wanted: impl Fn(&Frame) -> bool) -> Got {
        let code = |frame: &Frame, at: usize| {
            let bytes = frame.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
            bytes.map_or(u32::MAX, u32::from_be_bytes)
        };
        // A farewell without an error is not one of a case's.
        match self.take(|frame| wanted(frame) || (frame.kind == GOAWAY && code(frame, 4) != 0)) {
            None => Got::HungUp,
            Some(frame) => match frame.kind {
                GOAWAY => Got::Goaway(code(&frame, 4)),
                RST_STREAM => Got::Reset(code(&frame, 0)),
                PING => Got::Nothing,
                _ => Got::Answer(status(&frame.payload)),
            },
        }
    }
}

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(super) fn settings_of(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings.iter();
    pairs
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect()
}

/// A field as a literal without indexing, its text as it is (RFC 7541 §6.2.2).
pub(super) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [&[0][..], &text(name.as_ref()), &text(value.as_ref())].concat()
}

/// A string without Huffman's code (RFC 7541 §5.2).
pub(super) fn text(bytes: &[u8]) -> Vec<u8> {
    [&integer(0, 7, bytes.len()), bytes].concat()
}

/// An integer in what a byte has left (RFC 7541 §5.1).
pub(super) fn integer(first: u8, bits: u32, mut value: usize) -> Vec<u8> {
    let most = (1 << bits) - 1;
    if value < most {
        return vec![first | value as u8];
    }
    let mut bytes = vec![first | most as u8];
    value -= most;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}

pub(super) fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A whole head, and these fields behind it.
pub(super) fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let own = [
        (":method", method),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
    ];
    [fields(&own), fields(more)].concat()
}

/// The status of an answer, which is its first field (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    // The table may be said to have no room first.
    let block = match block {
        [0x20..=0x3f, rest @ ..] => rest,
        block => block,
    };
    match *block {
        [first @ 0x88..=0x8e, ..] => known[usize::from(first - 0x88)],
        [_, length, ref rest @ ..] if length & 0x80 == 0 => {
            let digits = std::str::from_utf8(&rest[..usize::from(length)]).unwrap();
            digits.parse().unwrap()
        }
        [_, length, ref rest @ ..] => {
            let bits: String = rest[..usize::from(length & 0x7f)]
                .iter()
                .map(|byte| format!("{byte:08b}"))
                .collect();
            let (mut left, mut number) = (&*bits, 0);
            for _ in 0..3 {
                // `0` to `2` have five bits, `3` to `9` six.
                let five = u16::from_str_radix(&left[..5], 2).unwrap();
                let (digit, length) = match five {
                    0..=2 => (five, 5),
                    _ => (u16::from_str_radix(&left[..6], 2).unwrap() - 0b01_1001 + 3, 6),
                };
                number = number * 10 + digit;
                left = &left[length..];
            }
            number
        }
        _ => panic!("an answer without a status: {block:?}"),
    }
}
