//! Constant load while everything changes.

use std::{
    fmt::Write as _,
    fs,
    io::{BufReader, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;

use crate::{
    client::{Ask, PATIENCE},
    message::Message,
    program::HEAD,
    recorder::Recorder,
    world::{act, api, credential, metric, place, reload, token_requests, until},
};

const RELOADS: usize = 50;
const ROTATIONS: usize = 20;
/// Callers, each with one request at a time.
const CALLERS: usize = 12;

/// What some callers do between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// What every other config is like; the routes that are called stay, and all else changes.
fn config(api: &Recorder, round: usize) -> String {
    let is_odd = round % 2 == 1;
    let mut config = format!("{HEAD}credentials:\n");
    config += &credential(api, "one");
    config += &credential(api, "two");
    if is_odd {
        config += &credential(api, "three");
    }
    // Its connections go with it: another upstream, as far as the client is concerned.
    let patience = 30 + round / 4 % 2;
    let _ = write!(
        config,
        "upstreams:\n  api: {{ url: \"{}\", response_timeout: {patience}s }}\n",
        api.url()
    );
    let other = if is_odd { "one" } else { "two" };
    let _ = write!(
        config,
        "routes:\n  a: {{ prefix: /a, upstream: api, credential: one }}\n  \
         b: {{ prefix: /b, upstream: api, credential: {other} }}\n"
    );
    if is_odd {
        config += "  c: { prefix: /c, upstream: api, credential: three }\n";
    }
    config
}

/// What the callers saw.
#[derive(Default)]
struct Seen {
    answered: AtomicUsize,
    lost: AtomicUsize,
    /// From then on a connection may be refused: that tells the caller to go elsewhere, and loses nothing.
    may_refuse: AtomicBool,
}

/// Calls until the proxy is gone, on a connection that is kept for as long as the proxy keeps it.
fn call(address: SocketAddr, nth: usize, seen: &Seen) {
    let targets = ["/a/x", "/b/x", "/a/slow", "/b/slow"];
    let mut kept: Option<BufReader<TcpStream>> = None;
    for target in targets.iter().cycle().skip(nth) {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => match TcpStream::connect(address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    BufReader::new(stream)
                }
                Err(error) => {
                    let is_told =
                        error.kind() == ErrorKind::ConnectionRefused && seen.may_refuse.load(Ordering::SeqCst);
                    if !is_told {
                        eprintln!("{target}: {error}");
                        seen.lost.fetch_add(1, Ordering::SeqCst);
                    }
                    return;
                }
            },
        };
        if nth % 3 == 1 {
            // Its connection is idle for a while; closed then, it would be closed under the next request.
            thread::sleep(PAUSE);
        }
        // Every third caller makes a connection for each request.
        let keeps = !nth.is_multiple_of(3);
        let ask = Ask::get(target).header("connection", if keeps { "keep-alive" } else { "close" });
        let answer = match stream.get_mut().write_all(&ask.bytes()) {
            Ok(()) => Message::answer(&mut stream, false),
            Err(_) => None,
        };
        match answer {
            Some(answer) if answer.status() == 200 && answer.body.starts_with(br#"{"by":"Bearer token-"#) => {
                seen.answered.fetch_add(1, Ordering::SeqCst);
                let ends = answer.header("connection").is_some_and(|said| said == "close");
                kept = (keeps && !ends).then_some(stream);
            }
            other => {
                eprintln!("{target}: {other:?}");
                seen.lost.fetch_add(1, Ordering::SeqCst);
                return;
            }
        }
    }
}

fn callers(address: SocketAddr, seen: &Arc<Seen>) -> Vec<JoinHandle<()>> {
    let start = |nth| {
        let seen = seen.clone();
        thread::spawn(move || call(address, nth, &seen))
    };
    (0..CALLERS).map(start).collect()
}

#[test]
fn reloads_rotations_and_a_drain_lose_no_request() {
    let api = api();
    let place = place(&api, &["one", "two", "three"]);
    place.configure(&config(&api, 0));
    let mut program = place.run();
    let seen: Arc<Seen> = Arc::default();
    let callers = callers(program.address, &seen);
    let answered = || seen.answered.load(Ordering::SeqCst);
    // Each change meets requests that are under way.
    let some_more = || {
        let before = answered();
        until("more is answered", || {
            answered() > before + CALLERS || seen.lost.load(Ordering::SeqCst) > 0
        });
    };
    some_more();
    for round in 1..=RELOADS {
        program.place.configure(&config(&api, round));
        if round % 5 == 0 {
            // A secret in a file: only the credential that reads it starts anew.
            fs::write(program.place.path("two"), format!("secret-{round}\n")).unwrap();
        }
        match round % 2 {
            0 => reload(&program),
            _ => {
                let before = metric(&program, "bearerd_config_reloads_total{outcome=\"applied\"}");
                program.signal(Signal::HUP);
                until("the signal is followed", || {
                    metric(&program, "bearerd_config_reloads_total{outcome=\"applied\"}") > before
                });
            }
        }
        if round % 5 < 2 {
            let credential = if round % 5 == 0 { "one" } else { "two" };
            let answer = act(&program, &format!("/credentials/{credential}/refresh"));
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
        if round == RELOADS / 2 {
            program.place.configure("listeners: [");
            assert_eq!(act(&program, "/reload").status(), 422);
            let ready = program.probe("/readyz");
            assert_eq!((ready.status(), &ready.json()["status"]), (200, &"degraded".into()));
        }
        some_more();
    }
    let applied = metric(&program, "bearerd_config_reloads_total{outcome=\"applied\"}");
    let before_drain = answered();
    seen.may_refuse.store(true, Ordering::SeqCst);
    program.signal(Signal::TERM);
    for caller in callers {
        caller.join().expect("a whole answer");
    }
    let (status, log, _) = program.wait();
    assert!(status.success(), "{status}");
    assert!(!log.contains("cut off"), "the drain was in time");

    let rotations = token_requests(&api, "refresh_token").len();
    let sign_ins = token_requests(&api, "password").len();
    let lost = seen.lost.load(Ordering::SeqCst);
    println!(
        "{applied} reloads, {rotations} rotations, a broken config and a drain: {} requests answered, \
         {} of them after SIGTERM, {lost} lost",
        answered(),
        answered() - before_drain
    );
    assert_eq!(lost, 0);
    assert!(applied >= RELOADS as u64, "{applied}");
    assert_eq!(rotations, ROTATIONS);
    // A refresh token that is sent twice ends its session, and the next need is another sign-in.
    assert_eq!(
        sign_ins, 2,
        "one for each credential that is used, through all restarts of their tasks"
    );
}
