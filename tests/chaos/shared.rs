//! Processes that share a store, under load, while the token in use expires again and again.

use std::time::Duration;

use crate::{
    lane::{Lane, Store},
    mined::Blow,
    point::{Edge, Point, Setup, Verb},
    process::Process,
    time::Stopwatch,
};

/// How many callers each process has at a time.
const CALLERS: usize = 3;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) spends: u64,
    pub(crate) reuses: u64,
    pub(crate) families_revoked: u64,
    pub(crate) sign_ins: u64,
    pub(crate) calls: usize,
    /// Processes that were killed in their spend.
    pub(crate) kills: usize,
    /// Answers that were no success, in words.
    pub(crate) errors: Vec<String>,
    pub(crate) took: Duration,
}

/// Where a process is killed that has claimed the spend while others wait for it.
const IN_SPEND: [Point; 6] = [
    Point::At(Edge::After, Verb::Claim),
    Point::At(Edge::After, Verb::Read),
    Point::At(Edge::Before, Verb::Check),
    Point::At(Edge::After, Verb::Check),
    Point::At(Edge::Before, Verb::Commit),
    Point::At(Edge::After, Verb::Commit),
];

/// How much earlier than the others' the callers of a process come that is to be killed: it is to claim the spend.
const HEAD_START: Duration = Duration::from_millis(30);

/// Lets so many processes serve callers while all access tokens expire so many times. At every `kill_every`-th
/// time one process is killed, in its spend if it gets to it first, and started again; its callers don't count.
pub(crate) async fn share(
    setup: Setup,
    store: Store,
    processes: usize,
    expiries: usize,
    kill_every: Option<usize>,
) -> Shared {
    let mut lane = Lane::expiring(setup, store).await;
    let mut running: Vec<Process> = Vec::new();
    for _ in 0..processes {
        running.push(lane.start().await);
    }
    let (before, start) = (lane.counts(), Stopwatch::start());
    let (mut calls, mut kills, mut errors) = (0, 0, Vec::new());
    for round in 0..expiries {
        lane.expire(&mut running).await;
        let victim = kill_every
            .filter(|every| round % every == every - 1)
            .map(|every| (round / every) % processes);
        let (mut callers, mut killed) = (Vec::new(), false);
        if let (Some(victim), Some(every)) = (victim, kill_every) {
            running[victim]
                .arm(Blow::Kill, IN_SPEND[(round / every) % IN_SPEND.len()])
                .await;
            callers.extend((0..CALLERS).map(|_| (victim, lane.asking(&running[victim]))));
            tokio::time::sleep(HEAD_START).await;
        }
        for (index, process) in running.iter().enumerate().filter(|(index, _)| Some(*index) != victim) {
            callers.extend((0..CALLERS).map(|_| (index, lane.asking(process))));
        }
        for (index, caller) in callers {
            let answer = caller.await.unwrap();
            if Some(index) == victim {
                killed |= answer == "cut off";
                continue;
            }
            calls += 1;
            if answer != "200" {
                errors.push(format!("expiry {round}, process {index}: {answer}"));
            }
        }
        if let Some(victim) = victim {
            running[victim] = lane.start().await;
            kills += usize::from(killed);
        }
    }
    let after = lane.counts();
    Shared {
        spends: after.spends - before.spends,
        reuses: after.reuses - before.reuses,
        families_revoked: after.families_revoked - before.families_revoked,
        sign_ins: after.password - before.password,
        calls,
        kills,
        errors,
        took: start.elapsed(),
    }
}

/// Shows it in a line.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
pub(crate) fn show(what: &str, shared: &Shared) {
    let Shared {
        spends,
        reuses,
        families_revoked,
        sign_ins,
        calls,
        kills,
        errors,
        took,
    } = shared;
    println!(
        "{what}: {spends} spends, {reuses} reuses, {families_revoked} families revoked, {sign_ins} sign-ins, {kills} \
         kills, {calls} calls, {} errors, {:.0} s",
        errors.len(),
        took.as_secs_f64()
    );
}
