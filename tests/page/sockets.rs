//! What the page asks and hears, on plain sockets.

use std::io::{BufReader, Read, Write};

use rustix::process::Signal;

use crate::{
    client::{Ask, connect},
    events::{Events, credential},
    world::{World, until},
};

/// Runs what blocks beside the emulated APIs.
async fn beside(act: impl FnOnce(World) + Send + 'static) {
    let world = World::new().await;
    tokio::task::spawn_blocking(move || act(world)).await.unwrap();
}

fn detail(answer: &crate::message::Message) -> String {
    answer.json()["detail"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_is_asked_for_is_told_to_who_asked_and_to_who_watches() {
    beside(|world| {
        let events = Events::open(world.admin);
        assert!(events.head.starts_with("HTTP/1.0 200"), "{}", events.head);
        assert!(
            events.head.contains("content-type: text/event-stream"),
            "{}",
            events.head
        );
        let first = events.until("status", |_| true);
        assert_eq!(credential(&first, "fluent")["state"], "idle");
        assert_eq!(world.call("/fluent-integration/api/v4.1/order/1001"), 200);
        events.until("status", |status| {
            credential(status, "fluent_integration")["state"] == "live"
        });

        let answer = world.act("POST", "/credentials/fluent_integration/refresh", "{}");
        assert_eq!(answer.status(), 200, "{answer:?}");
        let said = detail(&answer);
        assert!(
            said.starts_with("credential 'fluent_integration' has a new token: 1.2, it was 1.1; it expires in "),
            "{said}"
        );
        let status = events.until("status", |status| {
            credential(status, "fluent_integration")["generation"] == 2
        });
        let latest = &credential(&status, "fluent_integration")["events"][0];
        assert_eq!(
            (&latest["what"], &latest["why"]),
            (&"obtained".into(), &"forced".into())
        );

        // The old token still works where a renewal doesn't.
        world.apis.fluent().unreachable(true);
        let answer = world.act("POST", "/credentials/fluent_integration/refresh", "{}");
        assert_eq!(answer.status(), 502, "{answer:?}");
        assert!(detail(&answer).ends_with("; the held token still works"), "{answer:?}");
        let status = events.until("status", |status| {
            credential(status, "fluent_integration")["last_error"].is_object()
        });
        let broken = credential(&status, "fluent_integration");
        assert_eq!(
            (&broken["state"], &broken["events"][0]["what"]),
            (&"live".into(), &"never_left".into())
        );
        assert!(broken["next_try"].is_string(), "{broken}");
        // And a back-off binds whoever asks again.
        let answer = world.act("POST", "/credentials/fluent_integration/refresh", "{}");
        assert_eq!(answer.status(), 409, "{answer:?}");
        assert!(
            detail(&answer).contains("nothing is asked for again before"),
            "{answer:?}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_renewed_is_said_and_asks_the_provider_nothing() {
    beside(|world| {
        assert_eq!(world.call("/wrong/dishes"), 503);
        assert_eq!(world.call("/till/v2/x"), 503);
        // It waits for the end of what it finds under way, if only for its notes to be written.
        assert!(matches!(
            world.act("POST", "/credentials/wrong/refresh", "{}").status(),
            409 | 502
        ));
        let tries = |world: &World| world.apis.all().map(|api| api.counts().token_requests());
        let before = tries(&world);
        for (name, status, words) in [
            ("wrong", 409, "check the user name and password of credentials.wrong"),
            ("till", 409, "run `bearerd login till link`"),
            ("flow", 409, "fixed in the config"),
            ("flow_user", 409, "a token for each subject"),
            ("nobody", 404, "no credential 'nobody'"),
        ] {
            let answer = world.act("POST", &format!("/credentials/{name}/refresh"), "{}");
            assert_eq!(answer.status(), status, "{answer:?}");
            assert!(detail(&answer).contains(words), "{answer:?}");
        }
        for (field, value) in [
            ("origin", "http://evil.example"),
            ("sec-fetch-site", "same-site"),
            ("host", "evil.example"),
        ] {
            let ask = Ask::to("POST", "/credentials/pos/refresh").header("content-type", "application/json");
            let answer = ask.header(field, value).body("{}").send(world.admin);
            assert!(matches!(answer.status(), 403 | 421), "{answer:?}");
        }
        assert_eq!(tries(&world), before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_told_in_samples_with_what_it_took() {
    beside(|world| {
        let events = Events::open(world.admin);
        let status = events.until("status", |_| true);
        let routes = status["routes"].as_array().unwrap();
        assert!(routes.contains(&serde_json::json!({"name": "wrong", "upstream": "wrong", "credential": "wrong"})));
        for _ in 0..5 {
            assert_eq!(world.call("/flowlu/api/v1/module/crm/lead/list"), 200);
        }
        assert_eq!(world.call("/wrong/dishes"), 503);
        assert_eq!(world.call("/nowhere"), 404);
        let (mut requests, mut failed, mut refused) = (0, 0, 0);
        events.until("beat", |beat| beat["totals"]["-"] == 1);
        // Another watcher is told what came before it.
        let beat = Events::open(world.admin).until("beat", |_| true);
        for sample in beat["samples"].as_array().unwrap() {
            for route in sample["routes"].as_array().unwrap() {
                requests += route["requests"].as_u64().unwrap();
                failed += route["failed"].as_u64().unwrap();
                refused += route["refused"].as_u64().unwrap();
                let [half, most] = ["p50_ms", "p95_ms"].map(|name| route[name].as_f64().unwrap());
                assert!(0.0 < half && half <= most, "{route}");
            }
        }
        assert_eq!((requests, failed, refused), (7, 1, 1), "{beat}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_as_loud_as_was_last_said() {
    beside(|world| {
        let has = |what: &str| world.program.log().contains(what);
        let obtained = |name: &str| {
            let named = format!("\"obtained tokens\",\"credential\":\"{name}\"");
            world.program.log().contains(&named)
        };
        assert_eq!(world.call("/fluent-integration/api/v4.1/order/1001"), 200);
        until("tokens", || obtained("fluent_integration"));
        assert!(!has("\"DEBUG\""));

        let loud = "trace,hyper=trace,h2=trace,rustls=trace";
        let answer = world.act("PUT", "/log", &format!(r#"{{"level": "{loud}"}}"#));
        assert_eq!((answer.status(), &answer.json()["level"]), (200, &loud.into()));
        let status = Ask::get("/status").send(world.admin).json();
        assert_eq!(status["log"], serde_json::json!({"level": loud, "configured": "info"}));
        assert_eq!(world.call("/pos/dishes"), 200);
        until("what is said at debug", || {
            has("\"target\":\"hyper") && has("\"DEBUG\"")
        });
        for line in world.program.log().lines().filter(|line| line.contains("\"TRACE\"")) {
            assert!(line.contains("\"target\":\"bearerd"), "a dependency traces: {line}");
        }

        assert_eq!(world.act("PUT", "/log", r#"{"level": "warn"}"#).status(), 200);
        assert_eq!(world.call("/flowlu-oauth/api/v1/module/crm/lead/list"), 200);
        let refused = world.act("PUT", "/log", r#"{"level": "loud"}"#);
        assert_eq!(refused.status(), 400, "{refused:?}");
        assert!(detail(&refused).contains("'loud' is neither a level"), "{refused:?}");
        assert_eq!(world.act("PUT", "/log", r#"{"level": "info"}"#).status(), 200);
        assert_eq!(world.call("/fluent/api/v4.1/order/1001"), 200);
        until("tokens", || obtained("fluent"));
        assert!(!obtained("flowlu_oauth"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_can_not_be_used_is_told_until_it_is_mended() {
    beside(|world| {
        let events = Events::open(world.admin);
        let status = events.until("status", |_| true);
        assert_eq!(status["config"], serde_json::json!({"stale": null}));
        assert_eq!(status["store"]["kind"], "sqlite");
        world.rewrite(|config| config.replace("routes:", "rutes:"));
        assert_eq!(world.act("POST", "/reload", "{}").status(), 422);
        let status = events.until("status", |status| status["config"]["stale"].is_string());
        let stale = status["config"]["stale"].as_str().unwrap();
        assert!(stale.contains("bearerd.yaml:") && stale.contains("rutes"), "{stale}");
        assert_eq!(status["readiness"]["status"], "degraded");
        world.rewrite(|config| config.replace("rutes:", "routes:"));
        assert_eq!(world.act("POST", "/reload", "{}").status(), 200);
        events.until("status", |status| status["config"]["stale"].is_null());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_program_and_does_not_keep_it() {
    beside(|mut world| {
        let events = Events::open(world.admin);
        events.until("beat", |_| true);
        assert_eq!(world.act("POST", "/drain", "{}").status(), 200);
        events.until("status", |status| status["readiness"]["status"] == "draining");
        world.program.signal(Signal::TERM);
        events.until("end", |_| true);
        assert!(events.next().is_none(), "nothing comes after the end");
        let (status, log, _) = world.program.wait();
        assert!(status.success(), "{log}");
        assert!(log.contains("\"ended\"") && !log.contains("cut off"), "{log}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_reads_nothing_holds_nobody_up() {
    beside(|world| {
        // It asks, and never reads.
        let mut silent = connect(world.admin);
        silent
            .write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let events = Events::open(world.admin);
        events.until("status", |_| true);
        for _ in 0..3 {
            assert_eq!(world.call("/flowlu/api/v1/module/crm/lead/list"), 200);
        }
        events.until("beat", |beat| beat["totals"]["flowlu"] == 3);
        let mut first = [0; 15];
        BufReader::new(silent).read_exact(&mut first).unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
    })
    .await;
}
