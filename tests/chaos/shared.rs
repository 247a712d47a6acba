//! Processes that share a store, under load, while the token in use expires again and again.

use std::time::Duration;

use crate::{
    blow::Blow,
    chance::Chance,
    lane::{Lane, Store},
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
    /// Processes that were killed while they had callers.
    pub(crate) kills: usize,
    /// Those of them that had claimed the spend.
    pub(crate) kills_in_spend: usize,
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
/// The latest moment of a kill at a random one: renewals are over by then.
const LATEST: usize = 120;

/// Who is killed, and where: in its spend if it gets to it first, or else after so long.
struct Kill {
    victim: usize,
    point: Option<Point>,
    after: Duration,
}

impl Kill {
    fn draw(chance: &mut Chance, processes: usize) -> Self {
        let point = IN_SPEND[chance.one_of(IN_SPEND.len())];
        Self {
            victim: chance.one_of(processes),
            point: (chance.one_of(2) == 0).then_some(point),
            after: Duration::from_millis(chance.one_of(LATEST) as u64),
        }
    }
}

/// Lets so many processes serve callers while all access tokens expire so many times. At one time in `kill_every` a
/// process is killed and started again; its callers don't count.
pub(crate) async fn share(
    setup: Setup,
    store: Store,
    processes: usize,
    expiries: usize,
    kill_every: Option<usize>,
) -> Shared {
    let mut lane = Lane::expiring(setup, store, 0).await;
    let mut running: Vec<Process> = Vec::new();
    for _ in 0..processes {
        running.push(lane.start().await);
    }
    let (before, start) = (lane.counts(), Stopwatch::start());
    let (mut calls, mut kills, mut kills_in_spend, mut errors) = (0, 0, 0, Vec::new());
    let mut chance = kill_every.map(|_| Chance::new());
    for round in 0..expiries {
        lane.expire(&mut running).await;
        // At the last one for certain: a short run has a kill too.
        let is_due = |chance: &mut Chance, every| chance.one_of(every) == 0 || round == expiries - 1;
        let kill = chance.as_mut().zip(kill_every).and_then(|(chance, every)| {
            let due = is_due(chance, every);
            due.then(|| Kill::draw(chance, processes))
        });
        let victim = kill.as_ref().map(|kill| kill.victim);
        let mut callers = Vec::new();
        if let Some(Kill { victim, point, .. }) = kill {
            if let Some(point) = point {
                running[victim].arm(Blow::Kill, point).await;
            }
            callers.extend((0..CALLERS).map(|_| (victim, lane.asking(&running[victim]))));
            tokio::time::sleep(if point.is_some() { HEAD_START } else { Duration::ZERO }).await;
        }
        for (index, process) in running.iter().enumerate().filter(|(index, _)| Some(*index) != victim) {
            callers.extend((0..CALLERS).map(|_| (index, lane.asking(process))));
        }
        if let Some(Kill { victim, after, .. }) = kill {
            tokio::time::sleep(after).await;
            kills += 1;
            kills_in_spend += usize::from(running[victim].is_gone());
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
        kills,
        kills_in_spend,
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
        kills_in_spend,
        errors,
        took,
    } = shared;
    println!(
        "{what}: {spends} spends, {reuses} reuses, {families_revoked} families revoked, {sign_ins} sign-ins, {kills} \
         kills ({kills_in_spend} in the spend), {calls} calls, {} errors, {:.0} s",
        errors.len(),
        took.as_secs_f64()
    );
}
