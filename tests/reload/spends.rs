//! Law 4: a spend outlives a reload that takes its credential away.

use std::{
    io::Write,
    sync::{Mutex, mpsc::channel},
};

use crate::{
    client::{Ask, PATIENCE, connect},
    program::HEAD,
    recorder::{Recorder, ok},
    world::{credential, place, reload, simple},
};

#[test]
fn law_4_a_credential_that_is_gone_finishes_its_spend_and_is_found_again() {
    let (let_go, wait) = channel::<()>();
    let (arrived, arrival) = channel();
    let (wait, arrived) = (Mutex::new(wait), Mutex::new(arrived));
    let api = Recorder::start(move |request| {
        if request.target() != "/token" {
            return ok("{}");
        }
        let _ = arrived.lock().unwrap().send(());
        let _ = wait.lock().unwrap().recv_timeout(PATIENCE);
        ok(r#"{"access_token":"token-1","token_type":"bearer","expires_in":3600,"refresh_token":"refresh-1"}"#)
    });
    let place = place(&api, &["one"]);
    let with = simple(&api).replace("store: memory", "store: sqlite, path: DIR/state.db");
    let without = format!(
        "{}upstreams: {{ api: {{ url: \"{}\" }} }}\nroutes: {{ b: {{ prefix: /b, upstream: api, credential: none }} }}\n",
        HEAD.replace("store: memory", "store: sqlite, path: DIR/state.db"),
        api.url()
    );
    assert!(with.contains(&credential(&api, "one")));
    place.configure(&with);
    let program = place.run();
    // A caller that wants a token and goes away: nobody but the task itself is left.
    let mut caller = connect(program.address);
    caller.write_all(&Ask::get("/a/x").bytes()).unwrap();
    arrival.recv_timeout(PATIENCE).expect("a token request");
    drop(caller);

    program.place.configure(&without);
    reload(&program);
    assert_eq!(program.send(&Ask::get("/a/x")).status(), 404);
    assert_eq!(program.send(&Ask::get("/b/x")).status(), 200);
    let_go.send(()).unwrap();

    program.place.configure(&with);
    reload(&program);
    assert_eq!(program.send(&Ask::get("/a/x")).status(), 200);
    let asked = api
        .seen()
        .iter()
        .filter(|seen| seen.request.target() == "/token")
        .count();
    assert_eq!(asked, 1, "what it brought was saved, and is used");
}
