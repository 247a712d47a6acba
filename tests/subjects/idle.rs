//! A subject that nobody uses costs the vendor nothing.

use std::time::Duration;

use crate::{vendor::LIFETIME, world::World};

const SUBJECTS: usize = 300;

fn user(index: usize) -> String {
    format!("u{index}")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_subjects_in_use_are_renewed_and_only_when_they_are_used() {
    let world = World::new().await;
    for index in 0..SUBJECTS {
        world.ask("one", &user(index), "t").await;
    }
    assert_eq!(world.one.all_exchanges(), SUBJECTS);
    // Ahead of the expiry, past it, and many lifetimes past it.
    for ahead in [LIFETIME - 30, 60, 100 * LIFETIME] {
        world.clock.advance(Duration::from_secs(ahead));
    }
    // In use again: one request each, and the token is theirs.
    for index in (0..SUBJECTS).step_by(30) {
        let answer = world.ask("one", &user(index), "t").await;
        assert_eq!(answer.body, format!("one {} t", user(index)));
    }
    world.clock.advance(Duration::from_secs(LIFETIME + 1));
    // Once all tasks have ended, nothing can follow.
    let (one, two) = world.end().await;
    for index in 0..SUBJECTS {
        let expected = if index % 30 == 0 { 2 } else { 1 };
        assert_eq!(one.exchanges(&user(index), "t"), expected, "{}", user(index));
    }
    assert_eq!(one.wrong(), Vec::<String>::new());
    assert_eq!(two.all_exchanges(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_is_used_ahead_of_its_expiry_is_renewed_beside_the_traffic() {
    let world = World::new().await;
    for user in ["used", "idle"] {
        world.ask("one", user, "t").await;
    }
    world.clock.advance(Duration::from_secs(LIFETIME - 30));
    let answer = world.ask("one", "used", "t").await;
    assert_eq!(answer.body, "one used t", "the old token works while it works");
    // The renewal was begun by the use; nobody waits for it.
    while world.one.exchanges("used", "t") < 2 {
        tokio::task::yield_now().await;
    }
    let (one, _) = world.end().await;
    assert_eq!((one.exchanges("used", "t"), one.exchanges("idle", "t")), (2, 1));
}
