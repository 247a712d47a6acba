//! What an upstream is told besides the request itself, and links that lead back here.

use crate::{
    client::Ask,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn stage(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> (Recorder, Program) {
    let recorder = Recorder::start(answer);
    let place = Place::new();
    recorder.write_ca(&place.path("ca.pem"));
    let url = recorder.url();
    place.configure(&format!(
        "{HEAD}credentials:\n  api: {{ grant: {{ type: static, token: t0ken }}, placement: {{ query: api_key }} }}\n\
         upstreams:\n  plain: {{ url: \"{url}/v2\", credential: api }}\n  \
         keep: {{ url: \"{url}/v2\", credential: api, forwarded: keep }}\n  \
         add: {{ url: \"{url}/v2\", credential: api, forwarded: add, via: true, \
         headers: {{ x-tenant: \"${{path:tenant}}\", x-version: \"7\", x-caller: \"${{header:x-own}}\" }} }}\n\
         routes:\n  plain: {{ prefix: /plain, upstream: plain }}\n  keep: {{ prefix: /keep, upstream: keep }}\n  \
         add: {{ prefix: /add, path: \"/{{tenant}}/{{*rest}}\", upstream: add, headers: {{ x-version: \"8\" }} }}\n"
    ));
    (recorder, place.run())
}

fn told(ask: Ask) -> Ask {
    ask.header("x-forwarded-for", "10.0.0.1")
        .header("x-forwarded-host", "erp.intern")
        .header("x_forwarded_for", "10.0.0.2")
        .header("forwarded", "for=10.0.0.1")
        .header("x-real-ip", "10.0.0.1")
        .header("traceparent", TRACE)
        .header("tracestate", "a=b")
        .header("baggage", "c=d")
}

#[test]
fn an_api_is_told_nothing_of_this_side_unless_it_is_to_be() {
    let (recorder, program) = stage(|_| ok("{}"));
    assert_eq!(program.send(&told(Ask::get("/plain/a"))).status(), 200);
    let mut names = recorder.last().request.names();
    names.sort();
    assert_eq!(names, ["baggage", "host", "traceparent", "tracestate", "x-request-id"]);
    assert_eq!(recorder.last().request.header("traceparent").as_deref(), Some(TRACE));
    assert_eq!(program.send(&told(Ask::get("/keep/a"))).status(), 200);
    let kept = recorder.last().request;
    assert_eq!(kept.header("x-forwarded-for").as_deref(), Some("10.0.0.1"));
    assert_eq!(kept.header("x-forwarded-host").as_deref(), Some("erp.intern"));
    assert_eq!(kept.header("via"), None);
}

#[test]
fn an_api_is_told_what_its_upstream_says() {
    let (recorder, program) = stage(|_| ok("{}"));
    let ask = told(Ask::get("/add/acme/a"))
        .header("x-own", "me")
        .header("x_version", "callers")
        .header("x-tenant", "callers");
    assert_eq!(program.send(&ask).status(), 200);
    let told = recorder.last().request;
    for (name, value) in [
        ("x-tenant", "acme"),
        ("x-version", "8"),
        ("x-caller", "me"),
        ("via", "1.1 bearerd"),
        ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=10.0.0.1, for=127.0.0.1;host=\"localhost\";proto=http"),
        ("traceparent", TRACE),
    ] {
        assert_eq!(told.header(name).as_deref(), Some(value), "{name}");
    }
    // A field that is ours is the caller's under no other name.
    assert!(!told.names().contains(&"x_version".to_owned()));
}

#[test]
fn law_8_links_lead_back_here_without_the_credential() {
    let (_recorder, program) = stage(|request| {
        let (host, query) = (request.header("host").unwrap(), request.query());
        format!(
            "HTTP/1.1 200 OK\r\nlink: <https://{host}/v2/a?page=2&{query}>; rel=\"next\"\r\nlink: </v2/a?{query}>; rel=self\r\n\
             refresh: 5; url=https://{host}/v2/b?{query}\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    });
    let answer = program.send(&Ask::get("/plain/a?x=1"));
    let links = answer.values("link");
    assert_eq!(
        links,
        [
            &b"<http://localhost/plain/a?page=2&x=1>; rel=\"next\""[..],
            b"</plain/a?x=1>; rel=self"
        ]
    );
    assert_eq!(
        answer.header("refresh").as_deref(),
        Some("5; url=http://localhost/plain/b?x=1")
    );
}
