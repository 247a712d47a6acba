//! Rolling restarts from an old seed to a new one, on one store, while the token endpoint fails: whatever the order,
//! the chain of the newest seed is the one that is left, and the old one's refresh tokens are never sent again.

use std::time::Duration;

use bearerd::demo::{Misbehaviour, Times};
use tokio::task::JoinSet;

use crate::stage::{Bearerd, IMPATIENT, PATIENT, Stage, eventually};

/// Failures that spend nothing.
const FAILURES: [Misbehaviour; 4] = [
    Misbehaviour::Status500,
    Misbehaviour::Status503RetryAfter,
    Misbehaviour::RateLimited429,
    Misbehaviour::LostBefore,
];

/// The config of a replica.
#[derive(Clone, Copy)]
enum Seed {
    Old,
    New,
}

/// What happens to a replica; two with the old seed run at first.
enum Act {
    Start(usize, Seed),
    Stop(usize),
}

use Act::{Start, Stop};

/// One caller at each replica, who must succeed, while time goes by: leases and back-offs have to end first.
async fn serve(stage: &Stage, replicas: &[Option<Bearerd>]) {
    let mut callers = JoinSet::new();
    for bearerd in replicas.iter().flatten() {
        let client = bearerd.client.clone();
        callers.spawn(async move { client.get(PATIENT).await.word() });
    }
    loop {
        match tokio::time::timeout(Duration::from_millis(10), callers.join_next()).await {
            Ok(Some(word)) => assert_eq!(word.unwrap(), "200"),
            Ok(None) => return,
            Err(_) => stage.clock.advance(Duration::from_millis(500)),
        }
    }
}

async fn roll(acts: &[Act], failure: Misbehaviour, expired: bool) {
    let stage = Stage::with(|options| options.token_lifetime = Duration::from_secs(24 * 3600)).await;
    let [old, new] = [stage.seeded("").await, stage.seeded("").await];
    let yaml = |seed: Seed| match seed {
        Seed::Old => &old,
        Seed::New => &new,
    };
    let mut replicas: Vec<Option<Bearerd>> = Vec::new();
    replicas.resize_with(3, || None);
    for slot in &mut replicas[..2] {
        *slot = Some(stage.start(&old).await);
    }
    serve(&stage, &replicas).await;
    stage.expire();
    serve(&stage, &replicas).await;
    assert_eq!(stage.fluent_counts().spends, 2, "the old seed, and what came of it");

    let fluent = stage.apis.fluent();
    fluent.misbehave(failure, Times::Always);
    if expired {
        stage.expire();
        // Each has tried, or waits for one that has.
        for bearerd in replicas.iter().flatten() {
            assert_ne!(bearerd.get(IMPATIENT).await.status, 200);
        }
    }
    for act in acts {
        match act {
            Start(slot, seed) => replicas[*slot] = Some(stage.start(yaml(*seed)).await),
            Stop(slot) => assert!(replicas[*slot].take().unwrap().stop().await),
        }
        stage.clock.advance(Duration::from_secs(3));
        for bearerd in replicas.iter().flatten() {
            // Nobody waits for anything but the failing endpoint, and who holds a good token uses it.
            let word = bearerd.get(IMPATIENT).await.word();
            let known = ["200", "503 token_unavailable", "504 token_timeout"];
            assert!(known.contains(&word.as_str()), "{failure}: {word}");
        }
    }
    assert_eq!(stage.fluent_counts().spends, 2, "{failure} spends nothing");

    fluent.behave();
    for spends in 3..=5 {
        serve(&stage, &replicas).await;
        if spends == 3 && !expired {
            // Who still holds a token of the old chain uses it for as long as it lives.
            stage.expire();
            serve(&stage, &replicas).await;
        }
        let counts = stage.fluent_counts();
        let expected = spends + u64::from(!expired);
        assert_eq!(counts.spends, expected, "{failure}, {expired}: {counts:?}");
        assert_eq!(
            (counts.reuses, counts.families_revoked),
            (0, 0),
            "{failure}: {counts:?}"
        );
        let chains = || replicas.iter().flatten().map(|bearerd| bearerd.status().chain);
        eventually("all use the newest seed's chain", || {
            chains().all(|chain| chain == Some(2))
        })
        .await;
        stage.expire();
    }
    for bearerd in replicas.into_iter().flatten() {
        assert!(bearerd.stop().await);
    }
}

/// With each failure; the old chain's access tokens have expired by then in every second case.
async fn roll_through(acts: &[Act], mut expired: bool) {
    for failure in FAILURES {
        roll(acts, failure, expired).await;
        expired = !expired;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_replica_stops_before_its_successor_starts() {
    roll_through(&[Stop(0), Start(0, Seed::New), Stop(1), Start(1, Seed::New)], true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_successor_starts_before_its_replica_stops() {
    roll_through(&[Start(2, Seed::New), Stop(0), Start(0, Seed::New), Stop(1)], false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_replicas_start_again_in_between() {
    let acts = [
        Start(2, Seed::New),
        Stop(0),
        Start(0, Seed::Old),
        Stop(2),
        Stop(1),
        Start(1, Seed::Old),
        Start(2, Seed::New),
    ];
    roll_through(&acts, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_config_is_taken_back() {
    let acts = [
        Stop(0),
        Start(0, Seed::New),
        Stop(0),
        Start(0, Seed::Old),
        Stop(1),
        Start(1, Seed::Old),
    ];
    roll_through(&acts, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_of_the_old_chain_is_nothing_to_the_new_one() {
    let stage = Stage::with(|options| {
        options.token_lifetime = Duration::from_secs(24 * 3600);
        options.pause = Duration::from_secs(3);
    })
    .await;
    let [old, new] = [stage.seeded("").await, stage.seeded("").await];
    let mut replicas = vec![Some(stage.start(&old).await)];
    serve(&stage, &replicas).await;
    stage.expire();
    // The second half of the answer comes after the new seed.
    stage.apis.fluent().misbehave(Misbehaviour::TwoChunks, Times::Next(1));
    let client = replicas[0].as_ref().unwrap().client.clone();
    let caller = tokio::spawn(async move { client.get(PATIENT).await.word() });
    eventually("the old chain is spent", || stage.fluent_counts().spends == 2).await;
    replicas.push(Some(stage.start(&new).await));
    let second = replicas[1].as_ref().unwrap();
    second
        .until("the new seed is in", |status| status.chain == Some(2))
        .await;
    assert_eq!(caller.await.unwrap(), "200");
    serve(&stage, &replicas).await;
    for bearerd in replicas.iter().flatten() {
        bearerd
            .until("it uses the new chain", |status| status.chain == Some(2))
            .await;
    }
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses, counts.families_revoked), (3, 0, 0));
}
