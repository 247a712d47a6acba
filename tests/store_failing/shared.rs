//! Servers that are gone, come back, or stand still.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    servers::{self, PASSWORD, Running},
    world::World,
};

/// For how many seconds a server is away, besides the time that a test takes to look at what happens meanwhile.
const AWAY: &str = "BEARERD_TEST_AWAY";

async fn away() {
    let seconds = std::env::var(AWAY).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// A server, and what a config says of it.
struct Shared {
    server: Running,
    state: String,
}

fn postgres() -> Option<Shared> {
    let server = servers::postgres(&[], &["fsync=off"])?;
    let state = format!(
        "store: postgres, url: \"postgres://bearerd@127.0.0.1:{}/postgres\", password: {PASSWORD}",
        server.port
    );
    Some(Shared { server, state })
}

fn redis() -> Option<Shared> {
    let server = servers::redis(&[], &[])?;
    let state = format!(
        "store: redis, url: \"redis://127.0.0.1:{}\", password: {PASSWORD}",
        server.port
    );
    Some(Shared { server, state })
}

/// Gone, with a start in between: what is held goes on, and nothing is sent.
async fn gone_and_back(Shared { mut server, state }: Shared) {
    let world = World::new(&state).await;
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    server.down();
    world.make_due();
    assert_eq!(bearerd.ask().await.word, "200", "what is held goes on");
    let trouble = bearerd.store_trouble().await;
    assert!(trouble.contains("see that") && trouble.contains("runs"), "{trouble}");
    assert_eq!(bearerd.ask().await.word, "200");
    away().await;

    // Another one starts meanwhile: a sidecar comes up before its database.
    let early = world.start().await;
    let answer = early.ask_until("503 token_unavailable").await;
    assert!(
        answer.body.contains("see that") && answer.retry_after.is_some(),
        "{answer:?}"
    );
    world.expire();
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(
        answer.body.contains("see that") && answer.retry_after.is_some(),
        "{answer:?}"
    );
    assert_eq!(world.sent(), (1, 0), "no claim, no token request");

    server.up();
    assert_eq!(bearerd.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(early.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(world.sent(), (2, 0));
}

/// Gone between a spend and its saving.
async fn gone_after_a_spend(Shared { mut server, state }: Shared) {
    let world = World::new(&state).await;
    let bearerd = world.start().await;
    world.answer_slowly();
    let asking = bearerd.asking();
    world.spends(1).await;
    server.down();
    assert_eq!(
        asking.await.unwrap().word,
        "200",
        "after a spend, the new token is used"
    );
    bearerd.until_unsaved(true).await;
    away().await;
    assert_eq!(bearerd.ask_hastily().await.word, "200");
    server.up();
    bearerd.until_unsaved(false).await;
    assert!(bearerd.stop().await);
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (1, 0), "what was saved late is what the next start finds");
    world.expire();
    assert_eq!(bearerd.ask().await.word, "200");
    assert_eq!(world.sent(), (2, 0));
}

/// Standing still: its connections stay open, and nothing answers.
async fn silent(Shared { server, state }: Shared) {
    let world = World::new(&state).await;
    let bearerd = world.start().await;
    assert_eq!(bearerd.ask().await.word, "200");
    signal(&server, Signal::STOP);
    world.make_due();
    assert_eq!(bearerd.ask().await.word, "200");
    let trouble = bearerd.store_trouble().await;
    assert!(
        trouble.contains("did not answer") || trouble.contains("says nothing"),
        "{trouble}"
    );
    assert_eq!(bearerd.ask_hastily().await.word, "200", "what is held goes on");
    away().await;
    world.expire();
    // Though the store is being asked again for seconds: a caller who can't wait hears what is wrong.
    let answer = bearerd.ask_until("503 token_unavailable").await;
    assert!(answer.body.contains("no token request"), "{answer:?}");
    assert_eq!(world.sent(), (1, 0), "no claim, no token request");
    signal(&server, Signal::CONT);
    assert_eq!(bearerd.ask().await.word, "200", "recovery needs no hand");
    assert_eq!(world.sent(), (2, 0));

    // The same between a spend and its saving.
    world.expire();
    world.answer_slowly();
    let asking = bearerd.asking();
    world.spends(3).await;
    signal(&server, Signal::STOP);
    assert_eq!(asking.await.unwrap().word, "200");
    bearerd.until_unsaved(true).await;
    signal(&server, Signal::CONT);
    bearerd.until_unsaved(false).await;
    assert_eq!(world.sent(), (3, 0));
}

/// Of a server and of the processes that it has for its connections.
fn signal(server: &Running, signal: Signal) {
    let Some(first) = server.id() else { return };
    let mut family = vec![first];
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        // The fourth word is the parent's id; the second may hold spaces, and ends with a parenthesis (proc(5)).
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if parent == Some(&first.to_string())
            && let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok())
        {
            family.push(id);
        }
    }
    for id in family {
        let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) else {
            continue;
        };
        // One that has just ended needs no signal.
        let _ = kill_process(pid, signal);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_gone_and_back() {
    let Some(shared) = postgres() else { return };
    gone_and_back(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_gone_and_back() {
    let Some(shared) = redis() else { return };
    gone_and_back(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_gone_after_a_spend() {
    let Some(shared) = postgres() else { return };
    gone_after_a_spend(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_gone_after_a_spend() {
    let Some(shared) = redis() else { return };
    gone_after_a_spend(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_silent() {
    let Some(shared) = postgres() else { return };
    silent(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_silent() {
    let Some(shared) = redis() else { return };
    silent(shared).await;
}
