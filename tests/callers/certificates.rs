//! Callers with client certificates.

use std::{fmt::Write as _, io::Write as _};

use aws_lc_rs::digest;

use crate::{
    authority::{Authority, Identity},
    client::Ask,
    message::Message,
    program::Program,
    recorder::Recorder,
    world::{ERP, api, config, place, reload, told, unknown},
};

fn start(api: &Recorder, server: &Authority, clients: &Authority, callers: &str) -> Program {
    let place = place(api);
    server.issue(&["localhost"]).write(&place.path("server.pem"));
    clients.write(&place.path("clients.pem"));
    place.configure(&config(api, &listener(callers), ""));
    place.run()
}

fn listener(callers: &str) -> String {
    format!(
        "{{ bind: \"127.0.0.1:0\", tls: {{ cert: DIR/server.pem, key: DIR/server.pem, client_ca: DIR/clients.pem }}{callers} }}"
    )
}

fn fingerprint(identity: &Identity) -> String {
    let digest = digest::digest(&digest::SHA256, &identity.certificate);
    let mut text = String::new();
    for byte in digest.as_ref() {
        write!(text, "{byte:02X}:").unwrap();
    }
    text.trim_end_matches(':').to_owned()
}

#[test]
fn the_right_certificate_of_the_right_authority_opens_and_no_other() {
    let api = api();
    let (server, clients, others) = (
        Authority::new("server"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let pinned = clients.issue(&["whatever.internal"]);
    let callers = format!(
        ", callers: {{ batch: {{ certificate: {{ dns: Batch.Internal }} }}, till: {{ certificate: {{ uri: \"spiffe://shop/till\" }} }}, \
         pinned: {{ certificate: {{ sha256: \"{}\" }} }}, erp: {{ key: \"${{file:DIR/erp}}\" }} }}",
        fingerprint(&pinned)
    );
    let program = start(&api, &server, &clients, &callers);
    let get = Ask::get("/all/x");
    let send = |identity: Option<&Identity>, ask: &Ask| {
        let client = server.client(identity, b"http/1.1");
        client.send(program.address, ask).map(|answer| told(&answer))
    };
    for (names, opens) in [
        (&["batch.internal"][..], true),
        (&["other.internal", "BATCH.internal"], true),
        (&["spiffe://shop/till"], true),
        (&["whatever.internal"], false),
        (&["*.internal"], false),
        (&["spiffe://shop/till/2", "x.batch.internal"], false),
    ] {
        let answer = send(Some(&clients.issue(names)), &get).unwrap();
        assert_eq!(answer, if opens { (200, None) } else { unknown() }, "{names:?}");
    }
    assert_eq!(send(Some(&pinned), &get).unwrap(), (200, None));
    // An authority that nobody named vouches for the right name.
    assert!(send(Some(&others.issue(&["batch.internal"])), &get).is_err());
    assert_eq!(send(None, &get).unwrap(), unknown());
    let with_key = get.header("x-bearerd-key", ERP);
    assert_eq!(send(None, &with_key).unwrap(), (200, None));
    assert_eq!(api.seen().len(), 5);
    let (_, log, _) = program.end();
    for name in ["batch", "till", "pinned", "erp"] {
        assert!(log.contains(&format!("\"caller\":\"{name}\"")), "{name}: {log}");
    }
}

#[test]
fn without_named_callers_each_connection_must_have_a_certificate() {
    let api = api();
    let (server, clients) = (Authority::new("server"), Authority::new("clients"));
    let program = start(&api, &server, &clients, "");
    let get = Ask::get("/all/x");
    let anybody = clients.issue(&["anybody.internal"]);
    let send = |identity| server.client(identity, b"http/1.1").send(program.address, &get);
    assert_eq!(told(&send(Some(&anybody)).unwrap()), (200, None));
    assert!(send(None).is_err());
    assert_eq!(api.seen().len(), 1);
}

#[test]
fn connections_of_an_authority_that_is_gone_end() {
    let api = api();
    let (server, clients, next) = (
        Authority::new("server"),
        Authority::new("clients"),
        Authority::new("next"),
    );
    let callers = ", callers: { batch: { certificate: { dns: batch.internal } } }";
    let place = place(&api);
    server.issue(&["localhost"]).write(&place.path("server.pem"));
    clients.write(&place.path("clients.pem"));
    place.configure(&config(&api, &listener(callers), ""));
    let program = place.run();
    let old = server.client(Some(&clients.issue(&["batch.internal"])), b"http/1.1");
    let mut kept = old.connect(program.address);
    let ask = Ask::get("/all/x").header("connection", "keep-alive");
    kept.get_mut().write_all(&ask.bytes()).unwrap();
    assert_eq!(Message::answer(&mut kept, false).unwrap().status(), 200);

    next.write(&program.place.path("clients.pem"));
    reload(&program);
    // Answered at most once more, and then told to go.
    let written = kept.get_mut().write_all(&ask.bytes());
    if let Some(answer) = written.ok().and_then(|()| Message::answer(&mut kept, false)) {
        assert_eq!(answer.header("connection").as_deref(), Some("close"));
    }
    let get = Ask::get("/all/x");
    assert!(old.send(program.address, &get).is_err());
    let new = server.client(Some(&next.issue(&["batch.internal"])), b"http/1.1");
    assert_eq!(new.send(program.address, &get).unwrap().status(), 200);
}
