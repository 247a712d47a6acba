//! Processes that share a store, under load, while every token in use is taken away again and again.

use std::time::Duration;

use crate::{
    lane::{Lane, Store},
    point::Setup,
    process::{Process, Stopwatch},
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
    /// Answers that were no success, in words.
    pub(crate) errors: Vec<String>,
    pub(crate) took: Duration,
}

/// Lets so many processes serve callers while all access tokens are revoked so many times. After every `kill_every`-th
/// time, one process is killed as it comes by, and started again; its callers don't count.
pub(crate) async fn share(
    setup: Setup,
    store: Store,
    number: usize,
    processes: usize,
    expiries: usize,
    kill_every: Option<usize>,
) -> Shared {
    let lane = Lane::new(setup, store, number).await;
    let mut running: Vec<Process> = Vec::new();
    for _ in 0..processes {
        running.push(lane.start().await);
    }
    let (before, start) = (lane.counts(), Stopwatch::start());
    let (mut calls, mut errors) = (0, Vec::new());
    for round in 0..expiries {
        lane.api().revoke_all();
        let victim = kill_every
            .filter(|every| round % every == every - 1)
            .map(|every| (round / every) % processes);
        let callers: Vec<_> = running
            .iter()
            .enumerate()
            .flat_map(|(index, process)| (0..CALLERS).map(move |_| (index, process)))
            .map(|(index, process)| (index, lane.asking(process)))
            .collect();
        if let Some(victim) = victim {
            // Anywhere in its spend, or while it waits for another's: each time a little later.
            tokio::time::sleep(Duration::from_millis((round * 7 % 60) as u64)).await;
            running[victim].kill();
        }
        for (index, caller) in callers {
            let answer = caller.await.unwrap();
            if Some(index) == victim {
                continue;
            }
            calls += 1;
            if answer != "200" {
                errors.push(format!("expiry {round}, process {index}: {answer}"));
            }
        }
        if let Some(victim) = victim {
            running[victim] = lane.start().await;
        }
    }
    let after = lane.counts();
    Shared {
        spends: after.spends - before.spends,
        reuses: after.reuses - before.reuses,
        families_revoked: after.families_revoked - before.families_revoked,
        sign_ins: after.password - before.password,
        calls,
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
        errors,
        took,
    } = shared;
    println!(
        "{what}: {spends} spends, {reuses} reuses, {families_revoked} families revoked, {sign_ins} sign-ins, {calls} \
         calls, {} errors, {:.0} s",
        errors.len(),
        took.as_secs_f64()
    );
}
