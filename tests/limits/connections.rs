//! Connections that break, and what is sent again.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::net::TcpListener;

use crate::{
    upstream::{Accepted, OK, Upstream},
    world::{World, get, with_body},
};

/// Answers one request on each connection; at the second one it hangs up, as a server does whose keep-alive time was
/// over when the request was already on its way.
async fn stale(mut connection: Accepted, resets: bool) {
    connection.request().await;
    connection.say(OK).await;
    connection.request().await;
    if resets {
        connection.reset();
    }
}

#[tokio::test]
async fn a_stale_connection_is_nothing_that_an_idempotent_request_sees() {
    for resets in [false, true] {
        for path in ["/held", "/bare"] {
            for (method, body) in [
                ("GET", ""),
                ("PUT", "whole"),
                ("DELETE", ""),
                ("HEAD", ""),
                ("OPTIONS", ""),
            ] {
                let upstream = Upstream::start(move |connection| stale(connection, resets)).await;
                let world = World::new(upstream.address, "").await;
                assert_eq!(world.get(path).await.status, 200);
                let again = world.ask(with_body(method, path, body)).await;
                assert_eq!(again.status, 200, "{method} {path}: {again:?}");
                assert_eq!((upstream.connections(), upstream.requests()), (2, 3), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_sent_again_is_whole() {
    let (bodies, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let upstream = Upstream::start(move |mut connection| {
        let bodies = bodies.clone();
        async move {
            let mut answered = false;
            while let Some(request) = connection.request().await {
                bodies.send(request).unwrap();
                if connection.nth == 1 && answered {
                    return;
                }
                connection.say(OK).await;
                answered = true;
            }
        }
    })
    .await;
    let world = World::new(upstream.address, "").await;
    world.get("/held").await;
    assert_eq!(world.ask(with_body("PUT", "/held/x", "first second")).await.status, 200);
    seen.recv().await.unwrap();
    let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
    assert!(
        first.starts_with("PUT /x ") && first.ends_with("first second"),
        "{first}"
    );
    assert_eq!(first, second);
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let upstream = Upstream::start(|connection| stale(connection, false)).await;
    let world = World::new(upstream.address, ", retries: { attempts: 3 }").await;
    for path in ["/held", "/bare"] {
        world.get(path).await;
        let before = upstream.requests();
        let answer = world.ask(with_body("POST", path, "order")).await;
        assert_eq!(
            (answer.status, answer.code.as_deref()),
            (502, Some("upstream_protocol"))
        );
        assert_eq!(upstream.requests(), before + 1);
    }
}

#[tokio::test]
async fn an_upstream_that_always_hangs_up_is_asked_once_more_and_then_told() {
    let upstream = Upstream::start(|mut connection| async move {
        if connection.nth == 1 {
            connection.request().await;
            connection.say(OK).await;
        }
        connection.request().await;
    })
    .await;
    let world = World::new(upstream.address, "").await;
    world.get("/held").await;
    let answer = world.get("/held").await;
    assert_eq!(
        (answer.status, answer.code.as_deref()),
        (502, Some("upstream_protocol"))
    );
    assert_eq!(upstream.requests(), 3);
    // On a connection of its own, that is no staleness.
    assert_eq!(world.get("/held").await.status, 502);
    assert_eq!(upstream.requests(), 4);
}

#[tokio::test]
async fn resets_before_the_answer_are_tried_again_where_that_is_configured() {
    for path in ["/held", "/bare"] {
        let upstream = Upstream::start(|mut connection| async move {
            connection.request().await;
            if connection.nth % 3 == 0 {
                connection.say(OK).await;
            } else {
                connection.reset();
            }
        })
        .await;
        let world = World::new(upstream.address, ", retries: { attempts: 2 }").await;
        for nth in 1..=3 {
            assert_eq!(world.get(path).await.status, 200);
            assert_eq!(upstream.requests(), nth * 3);
        }
        // As often as it may be, and no more.
        let world = World::new(upstream.address, ", retries: { attempts: 1 }").await;
        assert_eq!(world.get(path).await.status, 502);
        assert_eq!(upstream.requests(), 11);
    }
}

#[tokio::test]
async fn the_budget_ends_a_storm_of_retries() {
    let upstream = Upstream::start(|mut connection| async move {
        connection.request().await;
    })
    .await;
    let world = World::new(upstream.address, ", retries: { attempts: 1, budget: 10 }").await;
    for _ in 0..100 {
        assert_eq!(world.get("/held").await.status, 502);
    }
    // A hundred requests, the ten retries that were saved up, and a tenth of the requests (but of the first, when
    // nothing more could be saved).
    assert_eq!(upstream.requests(), 119);
}

#[tokio::test]
async fn an_upstream_that_restarts_needs_no_restart_here() {
    let upstream = Upstream::good().await;
    let address = upstream.address;
    let world = World::new(address, "").await;
    assert_eq!(world.get("/held").await.status, 200);
    drop(upstream);
    // Its port is taken by nobody else as long as it is bound, so it is bound at once.
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let _upstream = Upstream::on(listener, |mut connection| async move {
        while connection.request().await.is_some() {
            connection.say(OK).await;
        }
    });
    for _ in 0..3 {
        assert_eq!(world.get("/held").await.status, 200);
    }
}

#[expect(clippy::print_stderr, reason = "shown with --nocapture, or when the test fails")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_close_at_random_fail_nobody() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let upstream = Upstream::start(move |mut connection| {
        let closed = count.clone();
        async move {
            // Each connection ends after another number of requests: at once, or in a race with the next one.
            let lives = 1 + connection.nth * 7919 % 13;
            for _ in 0..lives {
                if connection.request().await.is_none() {
                    return;
                }
                connection.say(OK).await;
            }
            if connection.nth % 2 == 0 {
                tokio::task::yield_now().await;
            }
            closed.fetch_add(1, Ordering::SeqCst);
            if connection.nth % 3 == 0 {
                connection.reset();
            }
        }
    })
    .await;
    let world = Arc::new(World::new(upstream.address, "").await);
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let world = world.clone();
            tokio::spawn(async move {
                let path = if caller % 2 == 0 { "/held" } else { "/bare" };
                for _ in 0..requests_a_caller() {
                    let answer = world.ask(get(path)).await;
                    assert_eq!(answer.status, 200, "{answer:?}");
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(closed.load(Ordering::SeqCst) > 16 * requests_a_caller() / 13);
    eprintln!(
        "{} requests, {} connections closed under them, none failed",
        16 * requests_a_caller(),
        closed.load(Ordering::SeqCst)
    );
}

/// More on demand: `BEARERD_LIMITS_REQUESTS=100000`.
fn requests_a_caller() -> usize {
    let all = std::env::var("BEARERD_LIMITS_REQUESTS")
        .ok()
        .and_then(|all| all.parse().ok());
    all.unwrap_or(3200usize) / 16
}
