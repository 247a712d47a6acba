//! Spans, and who is whose parent.

use std::{
    fs,
    net::TcpListener,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    client::Ask,
    collector::{self, CLIENT, ERROR, SERVER, Span},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE: &str = "5bf92f3577b34da6a3ce929d0e0e4736";
const REPLAYED_TRACE: &str = "6bf92f3577b34da6a3ce929d0e0e4736";
const LOST_TRACE: &str = "7bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// An API that gives tokens, and rejects the first of them for `/strict`.
fn api() -> Recorder {
    let given = AtomicUsize::new(0);
    Recorder::start(move |request| {
        if request.target() == "/token" {
            let nth = given.fetch_add(1, Ordering::Relaxed);
            return ok(&format!(r#"{{"access_token":"canary-token-{nth}","expires_in":3600}}"#));
        }
        let is_first = request.header("authorization").as_deref() == Some("Bearer canary-token-0");
        match request.target().starts_with("/strict") && is_first {
            true => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
            false => ok("{}"),
        }
    })
}

fn run(api: &Recorder, collector: &Recorder, sample: &str) -> Program {
    run_to(api, collector, &format!("{}/base/", collector.url()), sample)
}

fn run_to(api: &Recorder, collector: &Recorder, url: &str, sample: &str) -> Program {
    let place = Place::new();
    api.write_ca(&place.path("api.pem"));
    collector.write_ca(&place.path("collector.pem"));
    let both = ["api.pem", "collector.pem"].map(|name| fs::read_to_string(place.path(name)).unwrap());
    fs::write(place.path("ca.pem"), both.concat()).unwrap();
    place.configure(&format!(
        "{HEAD}traces: {{ otlp: \"{to}\", sample: {sample} }}\n\
         credentials:\n  idp: {{ grant: {{ type: client_credentials, token_url: \"{url}/token\", client_id: erp, \
         client_secret: canary-secret }} }}\n\
         upstreams: {{ api: {{ url: \"{url}\", credential: idp }} }}\nroutes: {{ orders: {{ prefix: /a, upstream: api }} }}\n",
        to = url,
        url = api.url(),
    ));
    place.run()
}

fn parent(trace: &str, flags: &str) -> String {
    format!("00-{trace}-{PARENT}-{flags}")
}

fn ask(program: &Program, target: &str, traceparent: Option<&str>) -> Message {
    let mut ask = Ask::get(target).header("x-canary", "canary-header");
    if let Some(parent) = traceparent {
        ask = ask.header("traceparent", parent).header("tracestate", "vendor=kept");
    }
    program.send(&ask)
}

/// What the API was told of the trace, in the order of its requests.
fn told(api: &Recorder, path: &str) -> Vec<[String; 4]> {
    let seen = api.seen().into_iter().map(|seen| seen.request);
    let seen = seen.filter(|request| request.target().starts_with(path));
    seen.map(|request| {
        assert_eq!(request.values("traceparent").len(), 1);
        let parent = request.header("traceparent").unwrap();
        let parts: Vec<String> = parent.split('-').map(str::to_owned).collect();
        parts.try_into().unwrap()
    })
    .collect()
}

fn of_trace<'s>(spans: &'s [Span], trace: &str, kind: u64) -> Vec<&'s Span> {
    spans
        .iter()
        .filter(|span| span.trace == trace && span.kind == kind)
        .collect()
}

#[test]
fn a_request_is_a_span_of_its_callers_trace_and_the_api_is_told_of_the_call() {
    let (api, collector) = (api(), collector::start());
    let program = run(&api, &collector, "1");
    let answer = ask(&program, "/a/one?key=canary-query", Some(&parent(TRACE, "01")));
    assert_eq!(answer.status(), 200);
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(ask(&program, "/a/two", None).status(), 200);
    assert_eq!(ask(&program, "/a/off", Some(&parent(OTHER_TRACE, "00"))).status(), 200);
    assert_eq!(
        ask(&program, "/a/strict", Some(&parent(REPLAYED_TRACE, "01"))).status(),
        200
    );
    assert_eq!(ask(&program, "/nowhere", Some(&parent(LOST_TRACE, "01"))).status(), 404);
    assert_eq!(program.end().0.code(), Some(0));

    let spans = collector::spans(&collector);
    let text = format!("{spans:?}");
    assert!(!text.contains("canary"), "{text}");
    assert!(!text.contains("/one"), "{text}");

    // The request, its wait for the first token, and its call.
    let [server] = of_trace(&spans, TRACE, SERVER)[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(
        (&*server.parent, &*server.name, &*server.state),
        (PARENT, "GET orders", "vendor=kept")
    );
    let attribute = |name: &str| server.attributes[name].as_str();
    assert_eq!(
        [
            "bearerd.route",
            "bearerd.upstream",
            "bearerd.listener",
            "http.response.status_code"
        ]
        .map(attribute),
        ["orders", "api", "main", "200"]
    );
    assert_eq!(attribute("bearerd.request_id"), id);
    let inner: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace == TRACE && span.kind != SERVER)
        .collect();
    let names: Vec<&str> = inner.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["token", "GET"]);
    for span in &inner {
        assert_eq!(span.parent, server.id);
        assert!(
            server.time.0 <= span.time.0 && span.time.1 <= server.time.1,
            "{span:?} within {server:?}"
        );
    }
    let call = inner[1];
    assert_eq!(call.kind, CLIENT);
    assert_eq!(
        (
            &*call.attributes["server.address"],
            &*call.attributes["http.response.status_code"]
        ),
        ("localhost", "200")
    );
    assert_eq!(call.attributes["server.port"], api.address.port().to_string());
    assert_eq!(
        told(&api, "/one"),
        [["00".into(), TRACE.into(), call.id.clone(), "01".into()]]
    );
    let seen = api.seen();
    let one = seen
        .iter()
        .find(|seen| seen.request.target().starts_with("/one"))
        .unwrap();
    assert_eq!(one.request.header("tracestate").as_deref(), Some("vendor=kept"));

    // Nobody's child, and no wait: a token is held.
    let [[_, trace, call, flags]] = &told(&api, "/two")[..] else {
        panic!()
    };
    assert_eq!(flags, "01");
    let [server] = of_trace(&spans, trace, SERVER)[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(server.parent, "");
    let inner: Vec<&Span> = spans
        .iter()
        .filter(|span| span.trace == *trace && span.kind != SERVER)
        .collect();
    assert_eq!(inner.iter().map(|span| &span.id).collect::<Vec<_>>(), [call]);
    let two = seen
        .iter()
        .find(|seen| seen.request.target().starts_with("/two"))
        .unwrap();
    assert!(two.request.values("tracestate").is_empty());

    // What the caller doesn't want to be sampled isn't, and the API is told so.
    let [[_, trace, _, flags]] = &told(&api, "/off")[..] else {
        panic!()
    };
    assert_eq!((&**trace, &**flags), (OTHER_TRACE, "00"));
    assert!(spans.iter().all(|span| span.trace != OTHER_TRACE));

    // A replay is a second call, with a wait between them.
    let calls = of_trace(&spans, REPLAYED_TRACE, CLIENT);
    let statuses: Vec<_> = calls
        .iter()
        .map(|call| (&*call.attributes["http.response.status_code"], call.status))
        .collect();
    assert_eq!(statuses, [("401", ERROR), ("200", 0)]);
    let ids: Vec<_> = told(&api, "/strict").into_iter().map(|[_, _, id, _]| id).collect();
    assert_eq!(ids, calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>());
    assert_eq!(
        spans
            .iter()
            .filter(|span| span.trace == REPLAYED_TRACE && span.name == "token")
            .count(),
        1
    );

    // A refusal of bearerd's own.
    let [server] = of_trace(&spans, LOST_TRACE, SERVER)[..] else {
        panic!("{spans:#?}")
    };
    assert_eq!(
        (&*server.name, &*server.attributes["error.type"], server.status),
        ("GET", "no_route", 0)
    );
}

#[test]
fn a_share_of_nothing_traces_only_what_callers_want_traced() {
    let (api, collector) = (api(), collector::start());
    let program = run(&api, &collector, "0");
    assert_eq!(ask(&program, "/a/one", None).status(), 200);
    assert_eq!(ask(&program, "/a/two", Some(&parent(TRACE, "01"))).status(), 200);
    // What can't be read begins a trace of its own.
    assert_eq!(ask(&program, "/a/three", Some("00-nonsense")).status(), 200);
    assert_eq!(program.end().0.code(), Some(0));
    let spans = collector::spans(&collector);
    assert!(
        !spans.is_empty() && spans.iter().all(|span| span.trace == TRACE),
        "{spans:#?}"
    );
    assert_eq!(told(&api, "/one")[0][3], "00");
    assert_ne!(told(&api, "/three")[0][1], told(&api, "/one")[0][1]);
}

#[test]
fn a_collector_that_is_away_holds_up_nothing_and_is_told() {
    let (api, collector) = (api(), collector::start());
    // A port that nobody listens on.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let program = run_to(&api, &collector, &format!("http://{gone}"), "1");
    assert_eq!(ask(&program, "/a/one", None).status(), 200);
    let (status, log, _) = program.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(log.matches("traces can't be delivered").count(), 1, "{log}");
}
