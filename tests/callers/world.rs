//! An API that writes down what arrives, and a bearerd in front of it.

use crate::{
    client::Ask,
    message::Message,
    program::{HEAD, Place, Program},
    recorder::{Recorder, ok},
};

pub(crate) const ERP: &str = "erp-canary-0123456789";
pub(crate) const BATCH: &str = "batch-canary-0123456789";

pub(crate) fn api() -> Recorder {
    Recorder::start(|_| ok("{}"))
}

/// One credential, one upstream, and a route for each caller beside one for all; `main` is this listener.
pub(crate) fn config(api: &Recorder, main: &str, routes: &str) -> String {
    let head = HEAD.replace("{ bind: \"127.0.0.1:0\" }", main);
    format!(
        "{head}credentials: {{ shop: {{ grant: {{ type: static, token: t0ken }} }} }}\n\
         upstreams: {{ shop: {{ url: \"{}\", credential: shop }} }}\n\
         routes: {{ all: {{ prefix: /all, upstream: shop }}{routes} }}\n",
        api.url()
    )
}

/// A place with the API's authority, and keys in files.
pub(crate) fn place(api: &Recorder) -> Place {
    let place = Place::new();
    api.write_ca(&place.path("ca.pem"));
    std::fs::write(place.path("erp"), format!("{ERP}\n")).unwrap();
    std::fs::write(place.path("batch"), BATCH).unwrap();
    place
}

pub(crate) fn start(api: &Recorder, main: &str, routes: &str) -> Program {
    let place = place(api);
    place.configure(&config(api, main, routes));
    place.run()
}

/// Asks for a reload, which must succeed.
pub(crate) fn reload(program: &Program) {
    let ask = Ask::to("POST", "/reload")
        .header("content-type", "application/json")
        .body("{}");
    let answer = ask.send_unix(&program.place.path("admin.sock"));
    assert_eq!(answer.status(), 200, "{answer:?}");
}

/// The status and the code of an answer.
pub(crate) fn told(answer: &Message) -> (u16, Option<String>) {
    (answer.status(), answer.header("x-bearerd-error"))
}

pub(crate) fn unknown() -> (u16, Option<String>) {
    (401, Some("caller_unknown".into()))
}

pub(crate) fn not_allowed() -> (u16, Option<String>) {
    (403, Some("not_allowed".into()))
}
