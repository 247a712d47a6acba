//! Large configs are read.

use std::fmt::Write;

use bearerd::clock::Clock;

use crate::{ALONE, held, world};

/// Every key that a route without a subject can have.
fn route(text: &mut String, nth: usize) {
    writeln!(
        text,
        "  r{nth}: {{ listener: main, host: erp.localhost, prefix: /shared, path: \"/p{nth}/{{id}}/{{*rest}}\", \
         methods: [GET, POST, PUT], allow: [\"GET /**\", \"POST /**\"], upstream: api, credential: none, \
         headers: {{ x-one: one, x-two: \"${{path:id}}\" }}, token_timeout: 5s }}"
    )
    .unwrap();
}

fn text(routes: usize) -> String {
    let mut text = "state: { store: memory }\nlisteners: { main: { bind: \"127.0.0.1:0\" } }\n\
         upstreams: { api: { url: \"http://127.0.0.1:9\" } }\nroutes:\n"
        .to_owned();
    (0..routes).for_each(|nth| route(&mut text, nth));
    text
}

#[tokio::test]
async fn ten_thousand_routes_with_all_of_their_keys_are_a_config() {
    const ROUTES: usize = 10_000;
    let _alone = ALONE.lock().await;
    let before = held();
    let program = world::program(text(ROUTES), &Clock::manual()).await;
    let each = (held() - before) / ROUTES;
    println!("a route with all of its keys: {each} bytes");
    assert!(each < 16 * 1024, "{each} bytes");
    drop(program);
}

#[tokio::test]
async fn of_ten_thousand_routes_each_that_ties_is_told_with_the_one_it_ties_with() {
    const ROUTES: usize = 10_000;
    let _alone = ALONE.lock().await;
    let mut text = text(ROUTES);
    // Other names of captures, and a method of three.
    text.push_str(
        "  last: { host: erp.localhost, prefix: /shared, path: \"/p9998/{other}/{*tail}\", methods: [PUT], upstream: api }\n\
         \x20 free: { host: erp.localhost, prefix: /shared, path: \"/p9998/{other}/{*tail}\", methods: [PATCH], upstream: api }\n",
    );
    let surroundings = bearerd::config::Surroundings {
        env: Default::default(),
        read: Box::new(move |_: &std::path::Path| Ok(text.clone().into_bytes())),
    };
    let faults = bearerd::config::load(&["bearerd.yaml".into()], &surroundings).unwrap_err();
    let told: Vec<String> = faults.0.iter().map(|fault| fault.message.clone()).collect();
    assert_eq!(told, ["routes `r9998` and `last` want the same requests"]);
}

#[tokio::test]
async fn a_thousand_upstreams_and_credentials_share_what_they_trust() {
    const COUNT: usize = 1_000;
    let _alone = ALONE.lock().await;
    let program_of = async |count: usize| {
        let mut text = "state: { store: memory }\ncredentials:\n".to_owned();
        for nth in 0..count {
            writeln!(
                text,
                "  c{nth}: {{ grant: {{ type: client_credentials, token_url: \"https://idp{nth}.example/token\", \
                 client_id: a, client_secret: b }} }}"
            )
            .unwrap();
        }
        text.push_str("upstreams:\n");
        for nth in 0..count {
            writeln!(
                text,
                "  u{nth}: {{ url: \"https://api{nth}.example\", credential: c{nth} }}"
            )
            .unwrap();
        }
        text.push_str("routes:\n");
        for nth in 0..count {
            writeln!(text, "  r{nth}: {{ prefix: /r{nth}, upstream: u{nth} }}").unwrap();
        }
        world::program(text, &Clock::manual()).await
    };
    // What is made once is there then.
    let first = program_of(1).await;
    let before = held();
    let program = program_of(COUNT).await;
    let each = (held() - before) / COUNT;
    println!("an upstream, its credential and its route: {each} bytes");
    assert!(each < 48 * 1024, "{each} bytes");
    drop((first, program));
}
