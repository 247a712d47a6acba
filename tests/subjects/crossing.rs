//! No token of one subject reaches another.

use std::sync::{Arc, Mutex};

use crate::world::World;

/// Subjects of each of the two vendors.
const EACH: usize = 5_000;
/// So many of them are used twice.
const AGAIN: usize = 1_000;

/// `u1` at tenant `11` and `u11` at tenant `1` would be the same text without a border between them.
fn subject(index: usize) -> (String, String) {
    (format!("u{}", index / 50), (index % 50).to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn law_8_of_ten_thousand_subjects_none_gets_anothers_token() {
    let world = World::new().await;
    let mut asks: Vec<(&str, usize)> = (0..EACH).flat_map(|index| [("one", index), ("two", index)]).collect();
    // A fifth is used a second time.
    asks.extend_from_within(..2 * AGAIN);
    // Scattered, so that the first and the second use of subjects, and both vendors', meet one another: a step that
    // shares no factor with the length visits each once.
    const STEP: usize = 7_919;
    let scattered: Vec<_> = (0..asks.len()).map(|at| asks[at * STEP % asks.len()]).collect();
    let next = Arc::new(Mutex::new(scattered.into_iter()));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (caller, next) = (world.caller(), next.clone());
            tokio::spawn(async move {
                loop {
                    let Some((vendor, index)) = next.lock().unwrap().next() else {
                        return;
                    };
                    let (user, tenant) = subject(index);
                    let answer = caller.ask(vendor, &user, &tenant).await;
                    assert_eq!(answer.body, format!("{vendor} {user} {tenant}"));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let (one, two) = world.end().await;
    for vendor in [one, two] {
        assert_eq!(vendor.wrong(), Vec::<String>::new());
        assert_eq!(vendor.calls(), EACH + AGAIN);
        assert_eq!(vendor.all_exchanges(), EACH, "one token request for each subject");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_one_subject_share_its_token_request() {
    let world = World::new().await;
    let callers: Vec<_> = (0..200)
        .map(|index| {
            let caller = world.caller();
            let user = if index % 2 == 0 { "held-a" } else { "held-b" };
            tokio::spawn(async move { (user, caller.ask("one", user, "t").await) })
        })
        .collect();
    world.one.holds(2).await;
    world.one.let_go();
    for caller in callers {
        let (user, answer) = caller.await.unwrap();
        assert_eq!(answer.body, format!("one {user} t"));
    }
    assert_eq!(
        (world.one.exchanges("held-a", "t"), world.one.exchanges("held-b", "t")),
        (1, 1)
    );
    assert_eq!(world.one.wrong(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn law_4_an_eviction_ends_no_spend_and_loses_no_token() {
    let world = World::with("{ store: memory }", "max_subjects: 4, ").await;
    let ask = |index: usize| {
        let caller = world.caller();
        let user = format!("held-{index}");
        tokio::spawn(async move { (caller.ask("one", &user, "t").await, user) })
    };
    let waiting: Vec<_> = (0..40).map(ask).collect();
    world.one.holds(40).await;
    // All but four are evicted by now, with their requests under way.
    world.one.let_go();
    for caller in waiting {
        let (answer, user) = caller.await.unwrap();
        assert_eq!(answer.body, format!("one {user} t"));
    }
    for index in 0..40 {
        let (answer, user) = ask(index).await.unwrap();
        assert_eq!(answer.body, format!("one {user} t"));
        assert_eq!(world.one.exchanges(&user, "t"), 1, "its token was in the store");
    }
    let (one, _) = world.end().await;
    assert_eq!(one.wrong(), Vec::<String>::new());
}
