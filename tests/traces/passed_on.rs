//! Without traces of bearerd's own.

use crate::{
    client::Ask,
    program::{HEAD, Place},
    recorder::{Recorder, ok},
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_callers_trace_context_reaches_the_api_as_it_came() {
    let api = Recorder::start(|_| ok("{}"));
    let place = Place::new();
    api.write_ca(&place.path("ca.pem"));
    place.configure(&format!(
        "{HEAD}upstreams: {{ api: {{ url: \"{}\" }} }}\nroutes: {{ a: {{ prefix: /a, upstream: api }} }}\n",
        api.url()
    ));
    let program = place.run();
    let ask = Ask::get("/a/x")
        .header("traceparent", PARENT)
        .header("tracestate", "one=1")
        .header("tracestate", "two=2");
    assert_eq!(program.send(&ask).status(), 200);
    let seen = api.last().request;
    assert_eq!(seen.values("traceparent"), [PARENT.as_bytes()]);
    assert_eq!(seen.values("tracestate"), [b"one=1", b"two=2"]);

    assert_eq!(program.send(&Ask::get("/a/x")).status(), 200);
    let seen = api.last().request;
    assert!(
        seen.values("traceparent").is_empty() && seen.values("tracestate").is_empty(),
        "{seen:?}"
    );
}

#[cfg(not(feature = "otlp"))]
#[test]
fn a_program_without_traces_says_how_to_get_one_with_them() {
    let place = Place::new();
    place.configure("routes: {}\ntraces: { otlp: \"http://127.0.0.1:4318\" }\n");
    let said = place.ask(&["check"]);
    assert_eq!(said.code, Some(78));
    assert!(
        said.errors.contains(
            "bearerd.yaml:2:1: traces: this bearerd was built without traces; build it with \
                              `cargo build --release --features otlp`, or leave `traces` out"
        ),
        "{}",
        said.errors
    );
}

#[cfg(feature = "otlp")]
#[test]
fn what_is_wrong_with_traces_is_told() {
    for (traces, fault) in [
        ("{}", "2:1: traces: `otlp` is missing"),
        (
            "{ otlp: \"http://collector:4318\" }",
            "2:17: traces.otlp: this URL is plain http",
        ),
        (
            "{ otlp: \"http://127.0.0.1:4318\", sample: 1.5 }",
            "traces.sample: this is a share",
        ),
    ] {
        let place = Place::new();
        place.configure(&format!("routes: {{}}\ntraces: {traces}\n"));
        let said = place.ask(&["check"]);
        assert_eq!(said.code, Some(78));
        assert!(said.errors.contains(fault), "{}", said.errors);
    }
}
