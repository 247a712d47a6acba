//! Exchanges that take too long, and an upstream in trouble beside others that are well.

use std::{sync::Arc, time::Duration};

use crate::{
    upstream::{Accepted, Upstream},
    world::{World, get, read},
};

/// Answers a byte at a time, and never comes to an end.
async fn drip(mut connection: Accepted) {
    if connection.request().await.is_none() {
        return;
    }
    connection
        .say("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        .await;
    loop {
        connection.say("x").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Begins an answer and stops.
async fn stall(mut connection: Accepted) {
    while connection.request().await.is_some() {
        connection
            .say("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nx")
            .await;
        std::future::pending::<()>().await;
    }
}

async fn silent(mut connection: Accepted) {
    while connection.request().await.is_some() {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_whole_exchange_has_its_time() {
    let upstream = Upstream::start(drip).await;
    let world = World::new(upstream.address, ", limits: { deadline: 100ms, concurrency: 1 }").await;
    for _ in 0..2 {
        let dripping = world.get("/held").await;
        assert!(
            dripping.status == 200 && dripping.cut && !dripping.body.is_empty(),
            "{dripping:?}"
        );
    }
    let upstream = Upstream::start(silent).await;
    let world = World::new(upstream.address, ", limits: { deadline: 100ms, concurrency: 1 }").await;
    for _ in 0..2 {
        let none = world.get("/bare").await;
        assert_eq!((none.status, none.code.as_deref()), (504, Some("upstream_timeout")));
        assert!(none.body.contains("limits.deadline"), "{none:?}");
    }
}

#[tokio::test]
async fn an_answer_that_stands_still_is_cut_off_and_one_that_drips_is_not() {
    let upstream = Upstream::start(stall).await;
    let limits = ", limits: { idle: 100ms, concurrency: 1 }";
    let world = World::new(upstream.address, limits).await;
    for _ in 0..2 {
        let stalled = world.get("/held").await;
        assert!(stalled.cut && stalled.body == "x", "{stalled:?}");
    }
    let upstream = Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            connection.say("HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n").await;
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                connection.say("x").await;
            }
        }
    })
    .await;
    let world = World::new(upstream.address, limits).await;
    assert_eq!(world.get("/held").await.body.len(), 20);
}

#[tokio::test]
async fn a_caller_that_reads_slowly_is_not_the_upstreams_fault() {
    let upstream = Upstream::good().await;
    let world = World::new(upstream.address, ", limits: { idle: 20ms }").await;
    let answer = world.send(get("/held")).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let answer = read(answer).await;
    assert!(!answer.cut && answer.body == "ok", "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upstreams_trouble_is_nobody_elses() {
    let bad = Upstream::start(|mut connection| async move {
        match connection.nth % 3 {
            0 => silent(connection).await,
            1 => drip(connection).await,
            _ => {
                connection.request().await;
                connection.reset();
            }
        }
    })
    .await;
    let mut good = Vec::new();
    let mut text = format!(
        "upstreams:\n  bad: {{ url: \"http://{}\", credential: held }}\n",
        bad.address
    );
    for nth in 0..4 {
        let upstream = Upstream::good().await;
        text += &format!(
            "  good_{nth}: {{ url: \"http://{}\", credential: held }}\n",
            upstream.address
        );
        good.push(upstream);
    }
    text += "routes:\n  bad: { prefix: /bad, upstream: bad }\n";
    for nth in 0..4 {
        text += &format!("  good_{nth}: {{ prefix: /good_{nth}, upstream: good_{nth} }}\n");
    }
    let world = Arc::new(World::of(&text).await);
    let callers: Vec<_> = (0..100)
        .map(|_| {
            let world = world.clone();
            // One credential for all five: it must not be held up either.
            tokio::spawn(async move { world.get("/bad").await.status })
        })
        .collect();
    for nth in 0..400 {
        let answer = world.get(&format!("/good_{}", nth % 4)).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    }
    let sent: usize = good.iter().map(Upstream::requests).sum();
    assert_eq!(sent, 400);
    assert!(bad.connections() > 50, "the trouble was there meanwhile");
    callers.iter().for_each(tokio::task::JoinHandle::abort);
}
