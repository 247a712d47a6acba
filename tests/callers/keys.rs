//! Callers with shared keys.

use crate::{
    client::Ask,
    world::{BATCH, ERP, api, config, not_allowed, place, reload, start, told, unknown},
};

const MAIN: &str =
    "{ bind: \"127.0.0.1:0\", callers: { erp: { key: \"${file:DIR/erp}\" }, batch: { key: \"${file:DIR/batch}\" } } }";

#[test]
fn law_8_only_a_callers_key_opens_and_no_key_goes_upstream() {
    let api = api();
    let program = start(&api, MAIN, "");
    let get = Ask::get("/all/x");
    let with = |key: &str| get.clone().header("X-Bearerd-Key", key);
    for refused in [
        get.clone(),
        with(""),
        with("wrong-canary-0123456789"),
        with(&ERP[..ERP.len() - 1]),
        with(ERP).header("x-bearerd-key", ERP),
        with(ERP).header("x-bearerd-key", "other"),
        get.clone().header("x_bearerd_key", ERP),
        get.clone().header("authorization", format!("Bearer {ERP}")),
        Ask::get(&format!("/all/x?x-bearerd-key={ERP}")),
        Ask::to("OPTIONS", "*"),
        Ask::to("CONNECT", "localhost:80"),
        // What else is wrong with it is not told to strangers.
        get.clone().header("host", "evil.example"),
        Ask::get("/nowhere"),
        Ask::to("POST", "/all/x").chunks(&[b"body"], Some(("x-bearerd-key", ERP))),
    ] {
        let answer = program.send(&refused);
        assert_eq!(told(&answer), unknown(), "{answer:?}");
        assert_eq!(answer.header("www-authenticate").as_deref(), Some("BearerdKey"));
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("listeners.main.callers") && !detail.contains("canary"),
            "{detail}"
        );
    }
    assert_eq!(api.seen().len(), 0);

    assert_eq!(told(&program.send(&with(BATCH))), (200, None));
    let trailing = Ask::to("POST", "/all/x")
        .header("x-bearerd-key", ERP)
        .header("x_bearerd-key", ERP)
        .header("connection", "close, x-bearerd-key")
        .header("trailer", "x-bearerd-key")
        .chunks(&[b"body"], Some(("X-Bearerd_Key", ERP)));
    assert_eq!(told(&program.send(&trailing)), (200, None));
    for seen in api.seen() {
        let request = seen.request;
        assert_eq!(request.header("authorization").as_deref(), Some("Bearer t0ken"));
        let told = format!("{request:?}{:?}", request.trailers);
        assert!(!told.contains("canary"), "{told}");
        assert!(request.trailers.is_empty(), "{told}");
    }

    let (_, log, _) = program.end();
    assert!(!log.contains("canary"), "{log}");
    let by = |name: &str| log.contains(&format!("\"caller\":\"{name}\""));
    assert!(by("erp") && by("batch"), "{log}");
    let strangers = log.lines().filter(|line| line.contains("caller_unknown"));
    assert!(strangers.clone().count() > 10 && strangers.into_iter().all(|line| !line.contains("\"caller\":")));
}

#[test]
fn a_key_can_stand_where_applications_put_bearer_tokens() {
    let api = api();
    let main = MAIN.replace("callers:", "key_header: Authorization, callers:");
    let program = start(&api, &main, "");
    let get = Ask::get("/all/x");
    let answer = program.send(&get.clone().header("x-bearerd-key", ERP));
    assert_eq!(told(&answer), unknown());
    assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    let basic = get.clone().header("authorization", format!("Basic {ERP}"));
    assert_eq!(told(&program.send(&basic)), unknown());
    let bearer = get.header("authorization", format!("Bearer {ERP}"));
    assert_eq!(told(&program.send(&bearer)), (200, None));
    let request = api.last().request;
    assert_eq!(request.header("authorization").as_deref(), Some("Bearer t0ken"));
}

#[test]
fn a_route_can_be_for_some_callers_only() {
    let api = api();
    let routes = ", erp: { prefix: /erp, upstream: shop, callers: [erp] }";
    let program = start(&api, MAIN, routes);
    let send = |target: &str, key: &str| told(&program.send(&Ask::get(target).header("x-bearerd-key", key)));
    assert_eq!(send("/erp/x", ERP), (200, None));
    assert_eq!(send("/erp/x", BATCH), not_allowed());
    // No other way of writing it leads there.
    for target in ["//erp/x", "/./erp/x", "/%65rp/x", "/all/../erp/x"] {
        assert_ne!(send(target, BATCH).0, 200, "{target}");
    }
    assert_eq!((send("/all/x", ERP), send("/all/x", BATCH)), ((200, None), (200, None)));
    assert_eq!(api.seen().len(), 3);
}

#[test]
fn a_route_for_callers_is_closed_where_a_listener_names_none() {
    let api = api();
    let place = place(&api);
    let routes = ", erp: { prefix: /erp, upstream: shop, callers: [erp] }";
    // The one that names its callers is another one.
    let both = format!(
        "{{ bind: \"127.0.0.1:0\" }}, other: {}",
        MAIN.replace("127.0.0.1:0", "unix:DIR/other.sock")
    );
    place.configure(&config(&api, &both, routes));
    let program = place.run();
    let with_key = Ask::get("/erp/x").header("x-bearerd-key", ERP);
    assert_eq!(told(&program.send(&with_key)), not_allowed());
    assert_eq!(told(&program.send(&Ask::get("/all/x"))), (200, None));
    assert_eq!(
        told(&with_key.send_unix(&program.place.path("other.sock"))),
        (200, None)
    );
}

#[test]
fn a_key_that_is_replaced_opens_no_more_on_the_same_connection() {
    use std::io::{BufReader, Write};

    let api = api();
    let program = start(&api, MAIN, "");
    let mut kept = BufReader::new(crate::client::connect(program.address));
    let mut send = |key: &str| {
        let ask = Ask::get("/all/x")
            .header("connection", "keep-alive")
            .header("x-bearerd-key", key);
        kept.get_mut().write_all(&ask.bytes()).unwrap();
        told(&crate::message::Message::answer(&mut kept, false).expect("an answer"))
    };
    assert_eq!(send(ERP), (200, None));
    std::fs::write(program.place.path("erp"), "next-canary-0123456789").unwrap();
    reload(&program);
    assert_eq!(send(ERP), unknown());
    assert_eq!(send("next-canary-0123456789"), (200, None));
}
