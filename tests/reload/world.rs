//! An API with a token endpoint, and a bearerd whose config is changed while it runs.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::{
    client::{Ask, PATIENCE},
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

/// How long the API takes for what is under `/slow`.
pub(crate) const SLOW: Duration = Duration::from_millis(150);

/// An API that tells who asked, and gives a new token for each request to `/token`.
pub(crate) fn api() -> Recorder {
    let given = AtomicUsize::new(0);
    Recorder::start(move |request| {
        if request.target() == "/token" {
            let nth = given.fetch_add(1, Ordering::Relaxed);
            return ok(&format!(
                r#"{{"access_token":"token-{nth}","token_type":"bearer","expires_in":3600}}"#
            ));
        }
        if request.target().starts_with("/slow") {
            thread::sleep(SLOW);
        }
        match request.header("authorization") {
            Some(bearer) if bearer.starts_with("Bearer token-") => ok(&format!(r#"{{"by":"{bearer}"}}"#)),
            _ => b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_vec(),
        }
    })
}

/// A credential of this API, which signs in with what a file of this name holds.
pub(crate) fn credential(api: &Recorder, name: &str) -> String {
    format!(
        "  {name}: {{ grant: {{ type: client_credentials, token_url: \"{}/token\", client_id: {name}, \
         client_secret: \"${{file:DIR/{name}}}\", auth: basic }} }}\n",
        api.url()
    )
}

/// One credential, one upstream, one route.
pub(crate) fn simple(api: &Recorder) -> String {
    format!(
        "{HEAD}credentials:\n{}upstreams: {{ api: {{ url: \"{}\", credential: one }} }}\n\
         routes: {{ a: {{ prefix: /a, upstream: api }} }}\n",
        credential(api, "one"),
        api.url()
    )
}

/// A directory with the API's authority and a secret for each of these credentials.
pub(crate) fn place(api: &Recorder, credentials: &[&str]) -> Place {
    let place = Place::new();
    api.write_ca(&place.path("ca.pem"));
    for name in credentials {
        fs::write(place.path(name), "secret-0\n").unwrap();
    }
    place
}

/// Asks the admin listener to do something.
pub(crate) fn act(program: &Program, target: &str) -> Message {
    let ask = Ask::to("POST", target)
        .header("content-type", "application/json")
        .body("{}");
    ask.send_unix(&program.place.path("admin.sock"))
}

/// Asks for a reload, which must succeed.
pub(crate) fn reload(program: &Program) {
    let answer = act(program, "/reload");
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// The value of a metric.
pub(crate) fn metric(program: &Program, name: &str) -> u64 {
    let page = String::from_utf8(program.probe("/metrics").body).unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
    line.trim().parse().unwrap()
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
