//! What RFC 9113 and RFC 7541 ask of an HTTP/2 server, section by section, in raw frames.

mod compression;
mod frames;
mod messages;
mod peer;
mod streams;

use crate::{
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};
use peer::{Got, Peer};

// Error codes (RFC 9113 §7).
const PROTOCOL: u32 = 1;
const FLOW_CONTROL: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE: u32 = 6;
const REFUSED: u32 = 7;
const COMPRESSION: u32 = 9;

/// What has to come of a case.
#[derive(Debug, Clone, Copy)]
enum Becomes {
    /// An answer with this status.
    Answer(u16),
    /// The stream ends with one of these codes; the connection may, too (RFC 9113 §5.4.1).
    Reset(&'static [u32]),
    /// The stream is closed already, and says so, or the connection ends.
    Closed,
    /// The connection ends with one of these codes, or at once.
    Ended(&'static [u32]),
    /// Nothing at all.
    Nothing,
}
use Becomes::{Answer, Closed, Ended, Nothing, Reset};

type Act = fn(&mut Peer);
type Case = (&'static str, Act, Becomes);

const TOKEN: &str = "Bearer t0ken";

fn stage() -> (Recorder, Program) {
    let recorder = Recorder::start(|_| ok("12345"));
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

/// What h2 doesn't look at, though the RFC asks for an error. Neither lets anything through: the client's settings are
/// taken for the default, and such a field goes nowhere.
const H2S_OWN: [(&str, Got); 2] = [
    ("3.4 no settings first", Got::Nothing),
    ("8.1 a pseudo-header field in trailers", Got::Answer(200)),
];

/// What a case came to, if that is wrong.
fn judge(name: &str, peer: &mut Peer, becomes: Becomes) -> Option<String> {
    let got = match becomes {
        Answer(_) | Reset(_) => peer.outcome(),
        Closed | Ended(_) | Nothing => peer.outcome_at_once(),
    };
    let is_right = match (becomes, got) {
        (Answer(wanted), Got::Answer(got)) => wanted == got,
        (Reset(codes), Got::Reset(code)) => codes.contains(&code),
        // h2 has one code for all that it can't read, and for what comes in the wrong state. An endpoint may make an
        // error of the connection of one of the stream (RFC 9113 §5.4.1).
        (Reset(codes) | Ended(codes), Got::Goaway(code)) => code == PROTOCOL || codes.contains(&code),
        (Closed, Got::Reset(code) | Got::Goaway(code)) => matches!(code, STREAM_CLOSED | PROTOCOL),
        (Ended(_), Got::HungUp) | (Nothing, Got::Nothing) => true,
        _ => false,
    };
    if let Some((_, own)) = H2S_OWN.iter().find(|(known, _)| *known == name) {
        let became = format!("{name}: h2 has mended it ({got:?}): take it out of the list");
        return (*own != got).then_some(became);
    }
    (!is_right).then(|| format!("{name}: wanted {becomes:?}, got {got:?}"))
}

/// Each case on a connection of its own.
fn all(cases: &[Case]) {
    let (recorder, program) = stage();
    let mut wrong = Vec::new();
    for (name, act, becomes) in cases {
        let mut peer = Peer::open(program.address);
        act(&mut peer);
        wrong.extend(judge(name, &mut peer, *becomes));
    }
    for seen in recorder.seen() {
        let credential = seen.request.values("authorization");
        assert_eq!(credential, [TOKEN.as_bytes()], "{:?}", seen.request);
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}
