//! How many requests are under way at once, and how many in a time.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::{
    upstream::{OK, Upstream},
    world::{World, get},
};

/// An upstream whose answers wait for a permit each.
async fn held_back() -> (Upstream, Arc<Semaphore>) {
    let permits = Arc::new(Semaphore::new(0));
    let gate = permits.clone();
    let upstream = Upstream::start(move |mut connection| {
        let gate = gate.clone();
        async move {
            while connection.request().await.is_some() {
                gate.acquire().await.unwrap().forget();
                connection.say(OK).await;
            }
        }
    })
    .await;
    (upstream, permits)
}

async fn until(condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(crate::world::PATIENCE, reached).await.unwrap();
}

#[tokio::test]
async fn requests_wait_in_line_and_too_many_are_turned_away() {
    let (upstream, permits) = held_back().await;
    let world = Arc::new(World::new(upstream.address, ", limits: { concurrency: 2, queue: 3 }").await);
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.get("/held").await.status })
        })
        .collect();
    until(|| upstream.requests() == 2).await;
    // All five have been polled by then: two are under way, and three wait.
    let turned_away = world.get("/held").await;
    assert_eq!(
        (turned_away.status, turned_away.code.as_deref()),
        (503, Some("overloaded"))
    );
    assert!(
        turned_away.retry_after.is_some() && turned_away.body.contains("limits.queue"),
        "{turned_away:?}"
    );
    assert_eq!((upstream.requests(), upstream.connections()), (2, 2));
    permits.add_permits(5);
    for asked in asked {
        assert_eq!(asked.await.unwrap(), 200);
    }
    assert_eq!((upstream.requests(), upstream.connections()), (5, 2));
}

#[tokio::test]
async fn nobody_waits_in_line_for_ever() {
    let (upstream, permits) = held_back().await;
    let limits = ", limits: { concurrency: 1, queue_timeout: 50ms }";
    let world = Arc::new(World::new(upstream.address, limits).await);
    let first = {
        let world = world.clone();
        tokio::spawn(async move { world.get("/bare").await.status })
    };
    until(|| upstream.requests() == 1).await;
    let second = world.get("/bare").await;
    assert_eq!((second.status, second.code.as_deref()), (503, Some("overloaded")));
    assert!(second.body.contains("limits.queue_timeout"), "{second:?}");
    permits.add_permits(1);
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test]
async fn a_place_is_free_again_however_its_request_ended() {
    let upstream = Upstream::start(|mut connection| async move {
        while let Some(request) = connection.request().await {
            match request.split(' ').nth(1).unwrap() {
                "/half" => connection.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
                "/cut" => return connection.say("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await,
                "/none" => return,
                "/late" => {}
                _ => connection.say(OK).await,
            }
        }
    })
    .await;
    let limits = ", response_timeout: 50ms, limits: { concurrency: 1, queue: 0 }";
    let world = World::new(upstream.address, limits).await;
    for _ in 0..3 {
        assert_eq!(world.get("/held/whole").await.status, 200);
        assert!(world.get("/held/cut").await.cut);
        assert_eq!(world.get("/held/none").await.status, 502);
        assert_eq!(world.get("/held/late").await.status, 504);
        // The caller goes away before the answer, and in the middle of it.
        let answer = tokio::time::timeout(std::time::Duration::from_millis(5), world.send(get("/held/late")));
        assert!(answer.await.is_err());
        let half = world.send(get("/held/half")).await;
        assert_eq!(
            world.get("/held/whole").await.status,
            503,
            "its place is taken until its answer has ended"
        );
        drop(half);
    }
    assert_eq!(world.get("/held/whole").await.status, 200);
}

#[tokio::test]
async fn a_rate_is_kept_and_its_end_is_told() {
    let upstream = Upstream::good().await;
    let limits = ", limits: { rate: { requests: 2, per: 1h } }";
    let world = World::new(upstream.address, limits).await;
    assert_eq!(world.get("/held").await.status, 200);
    assert_eq!(
        world.get("/bare").await.status,
        200,
        "the rate is the upstream's, not a route's"
    );
    let third = world.get("/held").await;
    assert_eq!((third.status, third.code.as_deref()), (429, Some("rate_limited")));
    let wait = third.retry_after.unwrap();
    assert!((1700..=1800).contains(&wait), "{third:?}");
    assert!(third.body.contains("upstreams.api.limits"), "{third:?}");
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn an_api_that_asks_for_a_pause_gets_it_where_that_is_configured() {
    for (limits, code) in [
        ("", None),
        (", limits: { obey_retry_after: true }", Some("rate_limited")),
    ] {
        let upstream = Upstream::start(|mut connection| async move {
            while connection.request().await.is_some() {
                connection
                    .say("HTTP/1.1 429 Too Many Requests\r\nretry-after: 100\r\ncontent-length: 0\r\n\r\n")
                    .await;
            }
        })
        .await;
        let world = World::new(upstream.address, limits).await;
        let first = world.get("/held").await;
        assert_eq!(
            (first.status, first.code, first.retry_after),
            (429, None, Some(100)),
            "it passes through"
        );
        let second = world.get("/held").await;
        assert_eq!((second.status, second.code.as_deref()), (429, code));
        assert!((90..=100).contains(&second.retry_after.unwrap()), "{second:?}");
        assert_eq!(upstream.requests(), if code.is_some() { 1 } else { 2 });
    }
}
