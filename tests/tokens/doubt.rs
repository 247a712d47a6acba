//! The in-doubt rule: a refresh token was sent, and nobody knows what came of it.

use std::time::Duration;

use bearerd::demo::{Misbehaviour, Times};

use crate::{
    outcomes::{BACK_OFF, Came, Row, SETTINGS, Setting, meet, stage},
    stage::{Bearerd, PATIENT, Stage, eventually},
};

const WORKS: [&str; 3] = ["200"; 3];
const WORKS_LATER: [&str; 3] = ["503 token_unavailable", "200", "200"];

/// The server has spent the refresh token, and its answer is of no use.
const SPENT: [Misbehaviour; 5] = [
    Misbehaviour::LostReply,
    Misbehaviour::Hang,
    Misbehaviour::Html,
    Misbehaviour::Truncated,
    Misbehaviour::OverLong,
];

/// The server has not spent it, which nobody here can know.
const UNSPENT: [Misbehaviour; 3] = [
    Misbehaviour::LostBefore,
    Misbehaviour::Status500,
    Misbehaviour::Status503RetryAfter,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_to_a_spend_ends_in_a_sign_in_or_in_the_grace_and_else_it_is_the_residue() {
    for setting in SETTINGS {
        for misbehaviour in SPENT {
            let expected = match setting {
                // A new chain at once: the old refresh token is never sent again.
                Setting { signs_in: true, .. } => Came {
                    sign_ins: 1,
                    ..Came::spending(2, WORKS)
                },
                // The provider takes it again.
                Setting { grace: true, .. } => Came::spending(3, WORKS_LATER),
                // The residue that the contract states: sent once more when nothing was left to lose, and never again.
                _ => Came {
                    reuses: 1,
                    ..Came::spending(1, ["503 token_unavailable", "503 login_required", "503 login_required"])
                },
            };
            let came = meet(setting, Row::Answer(misbehaviour)).await;
            assert_eq!(came, expected, "{setting:?}, {misbehaviour}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_without_a_spend_costs_a_sign_in_or_a_retry() {
    for setting in SETTINGS {
        for misbehaviour in UNSPENT {
            let expected = match setting.signs_in {
                true => Came {
                    sign_ins: 1,
                    ..Came::spending(1, WORKS)
                },
                false => Came::spending(2, WORKS_LATER),
            };
            let came = meet(setting, Row::Answer(misbehaviour)).await;
            assert_eq!(came, expected, "{setting:?}, {misbehaviour}");
        }
    }
}

/// Loses the answer to a renewal that was made ahead of the expiry.
async fn lose_early(stage: &Stage, bearerd: &Bearerd) {
    stage.clock.advance(stage.lifetime * 3 / 4);
    let requests = stage.fluent_counts().token_requests();
    stage.apis.fluent().misbehave(Misbehaviour::LostBefore, Times::Next(1));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    eventually("the renewal is sent", || {
        stage.fluent_counts().token_requests() > requests
    })
    .await;
    bearerd
        .until("it is known to be lost, or mended", |status| {
            status.last_error.as_ref().is_some_and(|error| error.code == "in_doubt") || status.chain > Some(1)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_grace_nothing_is_sent_again_before_the_old_access_token_has_expired() {
    let setting = Setting {
        signs_in: false,
        grace: false,
    };
    let (stage, bearerd) = stage(setting, "").await;
    lose_early(&stage, &bearerd).await;
    let requests = stage.fluent_counts().token_requests();
    for _ in 0..4 {
        stage.clock.advance(Duration::from_secs(1));
        assert_eq!(bearerd.hasty().await.word(), "200", "the old token is good");
        assert_eq!(stage.fluent_counts().token_requests(), requests);
    }
    stage.clock.advance(Duration::from_secs(1));
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!(counts.token_requests(), requests + 1);
    assert_eq!((counts.spends, counts.reuses, counts.unauthorised), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_grace_a_rejection_of_the_old_access_token_ends_the_wait_too() {
    let setting = Setting {
        signs_in: false,
        grace: false,
    };
    let (stage, bearerd) = stage(setting, "").await;
    lose_early(&stage, &bearerd).await;
    stage.apis.fluent().revoke_all();
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses, counts.with_revoked), (2, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_grace_it_is_sent_again_while_the_old_access_token_lives() {
    let setting = Setting {
        signs_in: false,
        grace: true,
    };
    let (stage, bearerd) = stage(setting, "").await;
    lose_early(&stage, &bearerd).await;
    stage.clock.advance(Duration::from_secs(2));
    assert_eq!(bearerd.hasty().await.word(), "200");
    bearerd.until("renewed", |status| status.generation == Some(3)).await;
    let counts = stage.fluent_counts();
    assert_eq!((counts.spends, counts.reuses, counts.unauthorised), (2, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_sign_in_a_new_chain_starts_while_the_old_access_token_lives() {
    let setting = Setting {
        signs_in: true,
        grace: false,
    };
    let (stage, bearerd) = stage(setting, "").await;
    lose_early(&stage, &bearerd).await;
    bearerd.until("a new chain", |status| status.chain == Some(2)).await;
    assert_eq!(bearerd.hasty().await.word(), "200");
    let counts = stage.fluent_counts();
    assert_eq!((counts.password, counts.reuses, counts.unauthorised), (2, 0, 0));
}

/// A bearerd that dies with a spend under way: its whole runtime goes, and nothing of it is saved.
fn crash_during_a_spend(stage: &Stage, yaml: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bearerd = stage.start(yaml).await;
        assert_eq!(bearerd.get(PATIENT).await.word(), "200");
        stage.expire();
        let before = stage.fluent_counts().spends;
        stage.apis.fluent().misbehave(Misbehaviour::Hang, Times::Next(1));
        let client = bearerd.client.clone();
        tokio::spawn(async move { client.get(PATIENT).await });
        eventually("spent", || stage.fluent_counts().spends > before).await;
    });
    runtime.shutdown_background();
}

/// Between two steps of the clock while a lease runs out, and afterwards, when things are done that the caller waits for:
/// the clock must not run away from what a busy machine does.
const PACES: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(100)];

/// After the crash, a caller waits at the next bearerd while the dead one's lease runs out.
async fn wait_out_the_lease(stage: &Stage, bearerd: &Bearerd) -> String {
    let client = bearerd.client.clone();
    let caller = tokio::spawn(async move { client.get(PATIENT).await });
    // Leases are of sixty seconds; what comes after them takes a few more. Nothing tells for sure that the caller has asked:
    // while the lease is waited for, the credential looks as if nobody had.
    for step in 0..260 {
        stage.clock.advance(Duration::from_millis(500));
        tokio::task::yield_now().await;
        eventually("the task has looked", || {
            let state = bearerd.status().state;
            caller.is_finished() || state == "renewing" || state == "idle" || state == "failing"
        })
        .await;
        if caller.is_finished() {
            break;
        }
        tokio::time::sleep(PACES[usize::from(step > 120)]).await;
    }
    caller.await.unwrap().word()
}

#[test]
fn a_spend_that_a_crash_left_in_doubt_is_taken_over_and_ends_in_a_sign_in() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::new());
    let yaml = stage.signing_in("");
    crash_during_a_spend(&stage, &yaml);
    runtime.block_on(async {
        let bearerd = stage.start(&yaml).await;
        assert_eq!(wait_out_the_lease(&stage, &bearerd).await, "200");
        let counts = stage.fluent_counts();
        assert_eq!((counts.spends, counts.password, counts.reuses), (1, 2, 0));
    });
}

#[test]
fn a_spend_that_a_crash_left_in_doubt_is_taken_over_and_sent_again_within_the_grace() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let stage = runtime.block_on(Stage::with(|options| options.grace = Duration::from_secs(600)));
    let yaml = runtime.block_on(stage.seeded(", grace: 10m"));
    crash_during_a_spend(&stage, &yaml);
    runtime.block_on(async {
        let bearerd = stage.start(&yaml).await;
        assert_eq!(wait_out_the_lease(&stage, &bearerd).await, "200");
        stage.clock.advance(BACK_OFF);
        let counts = stage.fluent_counts();
        assert_eq!((counts.spends, counts.refresh_token, counts.reuses), (3, 3, 0));
    });
}
