//! Subjects that the provider refuses, and those whose exchange never ends.

use std::time::Duration;

use http::StatusCode;

use crate::{vendor::REFUSED, world::World};

/// The documented bound on the token requests that a credential's subjects make at a time.
const MOST_EXCHANGES: usize = 128;

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subject_gets_401_and_leaves_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let world = World::with(&format!("{{ store: sqlite, path: \"{}\" }}", path.display()), "").await;
    for index in 0..20 {
        let answer = world.ask("one", &format!("{REFUSED}-{index}"), "t").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.code.as_deref(), Some("subject_rejected"));
        assert!(!answer.body.contains(&format!("{REFUSED}-{index}")), "{}", answer.body);
    }
    assert_eq!(world.ask("one", "accepted", "t").await.body, "one accepted t");
    let (one, _) = world.end().await;
    assert_eq!(one.calls(), 1, "nothing of a refused subject reaches the API");
    assert_eq!(records(&path), 1, "the accepted one's");
}

/// How many records the store holds.
fn records(path: &std::path::Path) -> i64 {
    let file = rusqlite::Connection::open(path).unwrap();
    file.query_row("SELECT count(*) FROM record", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_subject_is_asked_about_again_after_its_back_off_only() {
    let world = World::new().await;
    let user = format!("{REFUSED}-1");
    for _ in 0..50 {
        assert_eq!(
            world.ask("one", &user, "t").await.code.as_deref(),
            Some("subject_rejected")
        );
    }
    assert_eq!(world.one.exchanges(&user, "t"), 1);
    // Asked every second for an hour: the waits double from five seconds to five minutes.
    for _ in 0..3600 {
        world.clock.advance(Duration::from_secs(1));
        world.ask("one", &user, "t").await;
    }
    let tries = world.one.exchanges(&user, "t");
    assert!((10..=20).contains(&tries), "{tries}");
    // The same user with a new token is another subject.
    assert_eq!(world.ask("one", "new", "t").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_that_never_end_slow_no_other_subject() {
    let world = World::new().await;
    assert_eq!(world.ask("one", "early", "t").await.status, StatusCode::OK);
    let hanging: Vec<_> = (0..100)
        .map(|index| {
            let caller = world.caller();
            tokio::spawn(async move { caller.ask("one", &format!("held-{index}"), "t").await })
        })
        .collect();
    world.one.holds(100).await;
    for index in 0..100 {
        let user = format!("u{index}");
        assert_eq!(world.ask("one", &user, "t").await.body, format!("one {user} t"));
        let refused = world.ask("one", &format!("{REFUSED}-{index}"), "t").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
    world.one.let_go();
    for hung in hanging {
        assert_eq!(hung.await.unwrap().status, StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_subjects_cause_a_bounded_number_of_token_requests_at_a_time() {
    let world = World::new().await;
    assert_eq!(world.ask("one", "early", "t").await.status, StatusCode::OK);
    let flood: Vec<_> = (0..3 * MOST_EXCHANGES)
        .map(|index| {
            let caller = world.caller();
            tokio::spawn(async move { caller.ask("one", &format!("held-{index}"), "t").await })
        })
        .collect();
    world.one.holds(MOST_EXCHANGES).await;
    // Held tokens don't wait in that line, nor do other credentials.
    assert_eq!(world.ask("one", "early", "t").await.status, StatusCode::OK);
    assert_eq!(world.ask("two", "other", "t").await.status, StatusCode::OK);
    // Callers that go away lose their place: theirs is no request that anybody needs.
    for caller in flood.iter().skip(MOST_EXCHANGES) {
        caller.abort();
    }
    let mut answered = 0;
    world.one.let_go();
    for caller in flood {
        answered += usize::from(caller.await.is_ok_and(|answer| answer.status == StatusCode::OK));
    }
    assert_eq!(world.one.most_exchanging(), MOST_EXCHANGES);
    let (one, _) = world.end().await;
    assert!(one.all_exchanges() < 3 * MOST_EXCHANGES, "{}", one.all_exchanges());
    assert!(answered <= one.all_exchanges());
}
