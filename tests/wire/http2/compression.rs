//! Field compression (RFC 7541).

use super::{
    Answer, COMPRESSION, Ended, all,
    peer::{END_HEADERS, HEADERS, WHOLE, field, fields, integer, request, text},
};

fn get() -> Vec<u8> {
    request("GET", "/api/public/a", &[])
}

/// A head of which the static table has the method and the scheme.
fn indexed(more: &[u8]) -> Vec<u8> {
    let rest = fields(&[(":path", "/api/public/a"), (":authority", "localhost")]);
    [&[0x82, 0x86], &*rest, more].concat()
}

/// A literal of this kind, whose name is in the table or written out.
fn literal(first: u8, bits: u32, name: Result<usize, &str>, value: &[u8]) -> Vec<u8> {
    let name = match name {
        Ok(index) => integer(first, bits, index),
        Err(name) => [integer(first, bits, 0), text(name.as_bytes())].concat(),
    };
    [name, value.to_vec()].concat()
}

/// `user-agent` in the static table.
const USER_AGENT: usize = 58;
/// `a` in Huffman's code, with the padding that it needs: `00011` and `111`.
const HUFFMAN_A: &[u8] = &[0x81, 0x1f];

#[test]
fn fields_are_read_however_they_are_written() {
    all(&[
        (
            "6.1 indexed",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(b"")),
            Answer(200),
        ),
        (
            "6.2.1 with indexing, and then indexed",
            |peer| {
                let twice = [&literal(0x40, 6, Err("x-test"), &text(b"a")), &[0xbe][..]].concat();
                peer.frame(HEADERS, WHOLE, 1, &indexed(&twice));
            },
            Answer(200),
        ),
        (
            "6.2.1 of a name in the table",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0x40, 6, Ok(USER_AGENT), &text(b"a"))),
                )
            },
            Answer(200),
        ),
        (
            "6.2.2 without indexing, of a name in the table",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&literal(0, 4, Ok(USER_AGENT), &text(b"a")))),
            Answer(200),
        ),
        (
            "6.2.3 never indexed",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0x10, 4, Err("x-test"), &text(b"a"))),
                )
            },
            Answer(200),
        ),
        (
            "6.2.3 never indexed, of a name in the table",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0x10, 4, Ok(USER_AGENT), &text(b"a"))),
                )
            },
            Answer(200),
        ),
        (
            "5.2 in Huffman's code",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&literal(0, 4, Ok(USER_AGENT), HUFFMAN_A))),
            Answer(200),
        ),
        (
            "6.3 a smaller table",
            |peer| peer.frame(HEADERS, WHOLE, 1, &[&integer(0x20, 5, 100), &*get()].concat()),
            Answer(200),
        ),
        (
            "4.2 no table, and the largest again",
            |peer| peer.frame(HEADERS, WHOLE, 1, &[&[0x20], &*integer(0x20, 5, 4096), &get()].concat()),
            Answer(200),
        ),
        (
            "2.3.2 what is larger than the table empties it",
            |peer| {
                let large = "a".repeat(5000);
                let more = [
                    literal(0x40, 6, Err("x-test"), &text(b"a")),
                    literal(0x40, 6, Err("x-large"), &text(large.as_bytes())),
                ];
                peer.frame(HEADERS, WHOLE, 1, &indexed(&more.concat()));
                peer.answered(1);
                peer.watched = 3;
                peer.frame(HEADERS, WHOLE, 3, &indexed(b""));
            },
            Answer(200),
        ),
    ]);
}

#[test]
fn what_can_not_be_decoded_ends_the_connection() {
    all(&[
        (
            "4.3 no field block",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &[get(), vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff]].concat(),
                )
            },
            Ended(&[COMPRESSION]),
        ),
        (
            "2.3.3 an index past the table",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&integer(0x80, 7, 70))),
            Ended(&[COMPRESSION]),
        ),
        (
            "2.3.3 a name past the table",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&literal(0x40, 6, Ok(70), &text(b"a")))),
            Ended(&[COMPRESSION]),
        ),
        (
            "4.2 a table's size at the end of a block",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&[0x20])),
            Ended(&[COMPRESSION]),
        ),
        (
            "5.1 an integer past all bounds",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&[&[0xff][..], &[0x80; 12], &[1]].concat())),
            Ended(&[COMPRESSION]),
        ),
        (
            "5.2 a string longer than its block",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0, 4, Ok(USER_AGENT), &[100, b'a'])),
                )
            },
            Ended(&[COMPRESSION]),
        ),
        (
            "5.2 padding of more than seven bits",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0, 4, Ok(USER_AGENT), &[0x82, 0x1f, 0xff])),
                )
            },
            Ended(&[COMPRESSION]),
        ),
        (
            "5.2 padding with zeros",
            |peer| {
                peer.frame(
                    HEADERS,
                    WHOLE,
                    1,
                    &indexed(&literal(0, 4, Ok(USER_AGENT), &[0x81, 0x18])),
                )
            },
            Ended(&[COMPRESSION]),
        ),
        (
            "5.2 the end of a string within one",
            |peer| {
                let value = [0x85, 0x1f, 0xff, 0xff, 0xff, 0xff];
                peer.frame(HEADERS, WHOLE, 1, &indexed(&literal(0, 4, Ok(USER_AGENT), &value)));
            },
            Ended(&[COMPRESSION]),
        ),
        (
            "6.1 index 0",
            |peer| peer.frame(HEADERS, WHOLE, 1, &indexed(&[0x80])),
            Ended(&[COMPRESSION]),
        ),
        (
            "6.3 a larger table than was offered",
            |peer| peer.frame(HEADERS, WHOLE, 1, &[&integer(0x20, 5, 4097), &*get()].concat()),
            Ended(&[COMPRESSION]),
        ),
        (
            "in trailers too",
            |peer| {
                peer.frame(HEADERS, END_HEADERS, 1, &request("POST", "/api/public/a", &[]));
                peer.frame(HEADERS, WHOLE, 1, &[field("x-sum", "1"), vec![0x80]].concat());
            },
            Ended(&[COMPRESSION]),
        ),
    ]);
}
