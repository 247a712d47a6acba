//! A collector: what it was sent, as spans (opentelemetry/proto/trace/v1/trace.proto).

use std::collections::BTreeMap;

use crate::{
    recorder::Recorder,
    wire::{all, number},
};

pub(crate) const SERVER: u64 = 2;
pub(crate) const CLIENT: u64 = 3;
pub(crate) const ERROR: u64 = 2;

#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) trace: String,
    pub(crate) id: String,
    pub(crate) parent: String,
    pub(crate) state: String,
    pub(crate) name: String,
    pub(crate) kind: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) status: u64,
    /// When it began and ended, in nanoseconds since the Unix epoch.
    pub(crate) time: (u64, u64),
}

/// A collector that takes everything.
pub(crate) fn start() -> Recorder {
    Recorder::start(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n".to_vec()
    })
}

/// Every span that it was sent.
pub(crate) fn spans(collector: &Recorder) -> Vec<Span> {
    let mut found = Vec::new();
    for seen in collector.seen() {
        let request = seen.request;
        assert_eq!(request.start, "POST /base/v1/traces HTTP/1.1");
        assert_eq!(
            request.header("content-type").as_deref(),
            Some("application/x-protobuf")
        );
        for of_resource in all(&request.body, 1) {
            let resource = attributes(&all(all(of_resource, 1)[0], 1));
            assert_eq!(resource["service.name"], "bearerd");
            for of_scope in all(of_resource, 2) {
                found.extend(all(of_scope, 2).into_iter().map(span));
            }
        }
    }
    found
}

fn span(message: &[u8]) -> Span {
    let text = |field| {
        all(message, field)
            .last()
            .map(|text| String::from_utf8(text.to_vec()).unwrap())
            .unwrap_or_default()
    };
    let id = |field| {
        let bytes = all(message, field).last().copied().unwrap_or_default();
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    Span {
        trace: id(1),
        id: id(2),
        parent: id(4),
        state: text(3),
        name: text(5),
        kind: number(message, 6),
        attributes: attributes(&all(message, 9)),
        status: all(message, 15).last().map_or(0, |status| number(status, 3)),
        time: (number(message, 7), number(message, 8)),
    }
}

/// Pairs of a name and a text or a number.
fn attributes(pairs: &[&[u8]]) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pair = |pair: &&[u8]| {
        let value = all(pair, 2)[0];
        let value = all(value, 1)
            .last()
            .map_or_else(|| number(value, 3).to_string(), |value| text(value));
        (text(all(pair, 1)[0]), value)
    };
    pairs.iter().map(pair).collect()
}
