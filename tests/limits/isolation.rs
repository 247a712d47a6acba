//! One upstream of five does badly, and the callers of the other four see nothing of it; a name may mean other addresses.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::net::TcpListener;

use crate::{
    upstream::{Accepted, OK, Upstream},
    world::{World, get},
};

/// How an upstream does badly.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    Hangs,
    Resets,
    Drips,
    Refuses,
}

async fn trouble(mut connection: Accepted, how: Trouble) {
    while connection.request().await.is_some() {
        match how {
            Trouble::Hangs => std::future::pending().await,
            Trouble::Resets | Trouble::Refuses => return connection.reset(),
            Trouble::Drips => {
                connection
                    .say("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
                    .await;
                loop {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    connection.say("x").await;
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_upstream_costs_the_others_no_request() {
    for how in [Trouble::Hangs, Trouble::Resets, Trouble::Drips, Trouble::Refuses] {
        let bad = Upstream::start(move |connection| trouble(connection, how)).await;
        let good = [
            Upstream::good().await,
            Upstream::good().await,
            Upstream::good().await,
            Upstream::good().await,
        ];
        let (mut upstreams, mut routes) = (String::from("upstreams:\n"), String::from("routes:\n"));
        for (nth, upstream) in good.iter().chain([&bad]).enumerate() {
            upstreams += &format!(
                "  u{nth}: {{ url: \"http://{}\", credential: held, response_timeout: 500ms, \
                 limits: {{ concurrency: 8, queue: 50, queue_timeout: 500ms, deadline: 500ms }}, retries: {{ attempts: 2 }} }}\n",
                upstream.address
            );
            routes += &format!("  r{nth}: {{ prefix: /r{nth}, upstream: u{nth} }}\n");
        }
        let world = Arc::new(World::of(&format!("{upstreams}{routes}")).await);
        if matches!(how, Trouble::Refuses) {
            drop(bad);
        }
        let is_over = Arc::new(AtomicBool::new(false));
        // As many as it has room for, those that wait in line, and those that are turned away.
        let crowd: Vec<_> = (0..100)
            .map(|_| {
                let (world, is_over) = (world.clone(), is_over.clone());
                tokio::spawn(async move {
                    let mut failed = 0;
                    while !is_over.load(Ordering::Relaxed) {
                        let answer = world.get("/r4").await;
                        failed += usize::from(answer.status >= 500 || answer.cut);
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    failed
                })
            })
            .collect();
        let callers: Vec<_> = (0..16)
            .map(|caller| {
                let world = world.clone();
                tokio::spawn(async move {
                    let path = format!("/r{}", caller % 4);
                    for nth in 0..100 {
                        let answer = world.ask(get(&path)).await;
                        assert_eq!(
                            (answer.status, &*answer.body),
                            (200, "ok"),
                            "{how:?} {path} {nth}: {answer:?}"
                        );
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        is_over.store(true, Ordering::Relaxed);
        let mut failed = 0;
        for caller in crowd {
            failed += caller.await.unwrap();
        }
        assert!(failed > 0, "{how:?} does harm to its own callers");
        let arrived: usize = good.iter().map(Upstream::requests).sum();
        assert_eq!(arrived, 16 * 100, "{how:?}: each request came once");
    }
}

async fn answering(mut connection: Accepted) {
    while connection.request().await.is_some() {
        connection.say(OK).await;
    }
}

/// `localhost` is two addresses: the one that answers is found, also when it becomes the other one.
#[expect(
    clippy::print_stderr,
    reason = "a machine without IPv6 has nothing to be tested here, and says so"
)]
#[tokio::test]
async fn a_name_may_mean_another_address_from_one_connection_to_the_next() {
    let names: Vec<_> = tokio::net::lookup_host("localhost:1").await.unwrap().collect();
    if !(names.iter().any(|name| name.is_ipv4()) && names.iter().any(|name| name.is_ipv6())) {
        eprintln!("skipped: localhost is only {names:?}");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = Upstream::on(listener, answering);
    let world = World::of(&format!(
        "upstreams: {{ api: {{ url: \"http://localhost:{port}\", credential: held }} }}\nroutes: {{ api: {{ upstream: api }} }}\n"
    ))
    .await;
    assert_eq!(world.get("/a").await.status, 200);
    drop(upstream);
    // Whoever has taken that port meanwhile is not ours to wait for.
    let Ok(listener) = TcpListener::bind(("::1", port)).await else {
        return;
    };
    let _upstream = Upstream::on(listener, answering);
    for _ in 0..3 {
        assert_eq!(world.get("/a").await.status, 200);
    }
}
