//! Listeners that come, go and change while others are served.

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
};

use crate::{
    client::{Ask, connect},
    message::Message,
    world::{act, api, place, reload, simple},
};

/// A port that was free a moment ago; nobody else is given it soon.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn listeners_come_and_go_and_what_is_refused_changes_nothing() {
    let api = api();
    let place = place(&api, &["one"]);
    let (first, second) = (free(), free());
    let with = |listeners: &str| simple(&api).replace("main: { bind: \"127.0.0.1:0\" }", listeners);
    place.configure(&with(&format!("main: {{ bind: \"{first}\" }}")));
    let program = place.run();
    let get = Ask::get("/a/x");
    assert_eq!(get.send(first).status(), 200);
    let mut kept = BufReader::new(connect(first));

    program.place.configure(&with(&format!(
        "main: {{ bind: \"{first}\" }}, more: {{ bind: \"{second}\" }}"
    )));
    reload(&program);
    assert_eq!((get.send(first).status(), get.send(second).status()), (200, 200));

    // The port of one that stays can't be had, and then nothing of the new config is in use.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = taken.local_addr().unwrap();
    program.place.configure(&with(&format!(
        "main: {{ bind: \"{first}\" }}, more: {{ bind: \"{to}\" }}"
    )));
    let answer = act(&program, "/reload");
    assert_eq!(answer.status(), 422);
    assert!(
        answer.json()["detail"].as_str().unwrap().contains("in use"),
        "{answer:?}"
    );
    assert_eq!((get.send(first).status(), get.send(second).status()), (200, 200));

    // Names change over the same two sockets; header names are written otherwise on one of them.
    program.place.configure(&with(&format!(
        "new: {{ bind: \"{first}\", title_case_headers: true }}, main: {{ bind: \"{second}\" }}"
    )));
    reload(&program);
    let names: Vec<_> = get.send(first).headers.into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"Content-Length".to_owned()), "{names:?}");
    assert_eq!(get.send(second).status(), 200);

    // A connection of the listener before it is answered once more, and told to go.
    let ask = Ask::get("/a/x").header("connection", "keep-alive");
    kept.get_mut().write_all(&ask.bytes()).unwrap();
    let answer = Message::answer(&mut kept, false).expect("an answer");
    assert_eq!(
        (answer.status(), answer.header("connection").as_deref()),
        (200, Some("close"))
    );

    program
        .place
        .configure(&with(&format!("main: {{ bind: \"{second}\" }}")));
    reload(&program);
    assert_eq!(get.send(second).status(), 200);
    crate::world::until("the port is given up", || TcpStream::connect(first).is_err());
}

#[test]
fn routes_change_under_a_connection_that_stays() {
    let api = api();
    let place = place(&api, &["one"]);
    place.configure(&simple(&api));
    let program = place.run();
    let mut kept = BufReader::new(connect(program.address));
    let mut status = |target: &str| {
        let ask = Ask::get(target).header("connection", "keep-alive");
        kept.get_mut().write_all(&ask.bytes()).unwrap();
        Message::answer(&mut kept, false).expect("an answer").status()
    };
    assert_eq!((status("/a/x"), status("/b/x")), (200, 404));
    program
        .place
        .configure(&simple(&api).replace("prefix: /a", "prefix: /b"));
    reload(&program);
    assert_eq!((status("/a/x"), status("/b/x")), (404, 200));
    // What is the same keeps its token and its connections: one sign-in, and one connection to the API.
    let tokens = api
        .seen()
        .iter()
        .filter(|seen| seen.request.target() == "/token")
        .count();
    assert_eq!(tokens, 1);
}

#[test]
fn a_drain_that_is_asked_for_is_told_and_answers_all() {
    let api = api();
    let place = place(&api, &["one"]);
    place.configure(&simple(&api));
    let program = place.run();
    assert_eq!(act(&program, "/drain").status(), 200);
    let ready = program.probe("/readyz");
    assert_eq!((ready.status(), &ready.json()["status"]), (503, &"draining".into()));
    assert_eq!(program.send(&Ask::get("/a/x")).status(), 200);
    let (status, ..) = program.end();
    assert!(status.success());
}

#[test]
fn a_certificate_that_is_replaced_is_trusted_from_then_on() {
    let (api, other) = (api(), api());
    let place = place(&other, &["one"]);
    // Trusted: the authority of another API than the one that is asked.
    place.configure(&simple(&api));
    let program = place.run();
    let get = Ask::get("/a/x");
    let refused = program.send(&get);
    assert_ne!(refused.status(), 200, "{refused:?}");
    api.write_ca(&program.place.path("ca.pem"));
    reload(&program);
    assert_eq!(program.send(&get).status(), 200);
}
