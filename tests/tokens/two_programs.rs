//! Two programs on one SQLite file.

use std::time::Duration;

use tokio::task::JoinSet;

use crate::stage::{Bearerd, PATIENT, Stage};

const EXPIRIES: u64 = 30;
const CALLERS_EACH: usize = 20;

/// Many callers at both at once, who must all succeed, while time goes by as it does.
async fn load(stage: &Stage, programs: &[Bearerd]) {
    let mut callers = JoinSet::new();
    for bearerd in programs {
        for _ in 0..CALLERS_EACH {
            let client = bearerd.client.clone();
            callers.spawn(async move { client.get(PATIENT).await.word() });
        }
    }
    let step = Duration::from_millis(10);
    loop {
        // A program that waits for the other one looks at the store from time to time.
        match tokio::time::timeout(step, callers.join_next()).await {
            Ok(Some(word)) => assert_eq!(word.unwrap(), "200"),
            Ok(None) => return,
            Err(_) => stage.clock.advance(step),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_nobody_has_asked_yet_looks_for_another_ones_sign_in_before_it_refuses() {
    let stage = Stage::new().await;
    let seeded = stage.seeded("").await;
    let (before, after) = seeded.split_once("seed: ").unwrap();
    let unseeded = format!("{before}{}", after.split_once(", ").unwrap().1);
    let waiting = stage.start(&unseeded).await;
    waiting
        .until("it knows of nobody", |status| status.state == "login_required")
        .await;
    let other = stage.start(&seeded).await;
    assert_eq!(other.get(PATIENT).await.word(), "200");
    stage.clock.advance(Duration::from_secs(6));
    // The first caller, and no other before it.
    assert_eq!(waiting.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().spends, 1);
}

async fn race(sign_ins: u64, first_spends: u64, yaml: impl AsyncFnOnce(&Stage) -> String) {
    let stage = Stage::with(|options| options.token_lifetime = Duration::from_secs(3600)).await;
    let yaml = yaml(&stage).await;
    let own = stage.fluent_counts().password;
    let programs = [stage.start(&yaml).await, stage.start(&yaml).await];
    load(&stage, &programs).await;
    for expiry in 1..=EXPIRIES {
        stage.expire();
        load(&stage, &programs).await;
        let counts = stage.fluent_counts();
        assert_eq!(
            (
                counts.spends,
                counts.refresh_token,
                counts.password - own,
                counts.reuses,
                counts.unauthorised
            ),
            (first_spends + expiry, first_spends + expiry, sign_ins, 0, 0),
            "after {expiry} expiries"
        );
    }
    for bearerd in programs {
        assert!(bearerd.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_two_programs_on_one_file_spend_once_for_each_of_thirty_expiries() {
    race(1, 0, async |stage| stage.signing_in("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_two_programs_with_the_same_seed_spend_it_once_and_then_once_for_each_of_thirty_expiries() {
    race(0, 1, async |stage| stage.seeded("").await).await;
}
