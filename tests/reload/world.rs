//! An API with a token endpoint, and a bearerd whose config is changed while it runs.

use std::{
    collections::HashSet,
    fs,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    client::Ask,
    message::{Message, parameters},
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

/// How long the API takes for what is under `/slow`.
pub(crate) const SLOW: Duration = Duration::from_millis(150);

/// Between two looks at something that is about to change.
const STEP: Duration = Duration::from_millis(10);

/// An API that tells who asked, and gives new tokens for each request to `/token`. A refresh token can be used once;
/// what comes of using it twice is that its session is over.
pub(crate) fn api() -> Recorder {
    let (given, live) = (AtomicUsize::new(0), Mutex::new(HashSet::new()));
    Recorder::start(move |request| {
        if request.target() == "/token" {
            if let Some(refresh) = parameters(&request.body, "refresh_token").pop()
                && !live.lock().unwrap().remove(&refresh)
            {
                let refused = r#"{"error":"invalid_grant"}"#;
                let length = refused.len();
                return format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{refused}").into_bytes();
            }
            let nth = given.fetch_add(1, Ordering::Relaxed);
            let refresh = format!("refresh-{nth}");
            live.lock().unwrap().insert(refresh.clone().into_bytes());
            return ok(&format!(
                r#"{{"access_token":"token-{nth}","token_type":"bearer","expires_in":3600,"refresh_token":"{refresh}"}}"#
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

/// The token requests that this API has seen, by what they are.
pub(crate) fn token_requests(api: &Recorder, grant_type: &str) -> Vec<Message> {
    let seen = api.seen().into_iter().map(|seen| seen.request);
    let asks = |request: &Message| parameters(&request.body, "grant_type") == [grant_type.as_bytes()];
    seen.filter(|request| request.target() == "/token" && asks(request))
        .collect()
}

/// A credential of this API, which signs in with what a file of this name holds.
pub(crate) fn credential(api: &Recorder, name: &str) -> String {
    format!(
        "  {name}: {{ grant: {{ type: password, token_url: \"{}/token\", client_id: {name}, \
         client_secret: \"${{file:DIR/{name}}}\", auth: basic, username: erp, password: p }} }}\n",
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

/// Waits until it is so: a minute at most.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("never: {what}");
}
