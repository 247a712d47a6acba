//! SIGKILL at each step of a spend, then a restart: what the authorization server counted, and what callers got.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use bearerd::demo::{Counts, Times};
use tokio::task::JoinSet;

use crate::{
    blow::Blow,
    lane::{Lane, Store},
    point::{Edge, POINTS, Point, Served, Setup, Verb},
    process::Process,
    table::LOGIN_REQUIRED,
    time::Stopwatch,
};

/// How much of a dripping reply is on its way before the kill: a few bytes of it.
const DRIPPING: Duration = Duration::from_millis(300);

/// What became of the kills at one point.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u64,
    /// Refresh tokens that the server accepted, from the kill's own spend to the recovery.
    pub(crate) spends: u64,
    pub(crate) reuses: u64,
    /// Sessions that ended although the provider had not ended them.
    pub(crate) lost: u64,
    pub(crate) sign_ins: u64,
    /// Requests that failed after the restart, other than with `login_required`.
    pub(crate) failed: u64,
    pub(crate) slowest: Duration,
}

/// What was counted at each point of each set-up.
pub(crate) type Table = BTreeMap<(Setup, Point), Tally>;

/// Kills so many processes in all, the same number at each point as near as may be, in `lanes` lanes for each set-up.
pub(crate) async fn kill(kills: usize, lanes: usize, store: Store) -> Table {
    let everywhere = || {
        Setup::ALL
            .into_iter()
            .flat_map(|setup| POINTS.map(|point| (setup, point)))
    };
    let cycle: Vec<_> = everywhere().filter(|(setup, point)| point.exists_in(*setup)).collect();
    let table = Arc::new(Mutex::new(Table::new()));
    let mut running = JoinSet::new();
    for setup in Setup::ALL {
        let todo = (0..kills).map(|number| cycle[number % cycle.len()]);
        let todo: VecDeque<Point> = todo.filter(|(of, _)| *of == setup).map(|(_, point)| point).collect();
        let todo = Arc::new(Mutex::new(todo));
        for number in 0..lanes {
            let (todo, table) = (todo.clone(), table.clone());
            running.spawn(async move {
                let mut lane = Lane::new(setup, store, number).await;
                let mut process = lane.start().await;
                loop {
                    let Some(point) = todo.lock().unwrap().pop_front() else {
                        return;
                    };
                    let mut tally = Tally::default();
                    process = kill_at(&mut lane, process, point, &mut tally).await;
                    table.lock().unwrap().entry((setup, point)).or_default().add(tally);
                }
            });
        }
    }
    while let Some(ended) = running.join_next().await {
        if let Err(panic) = ended {
            std::panic::resume_unwind(panic.into_panic());
        }
    }
    let table = table.lock().unwrap();
    table.clone()
}

/// Kills a process at this point, and starts another, which is left running.
async fn kill_at(lane: &mut Lane, mut process: Process, point: Point, tally: &mut Tally) -> Process {
    let api = lane.api();
    match point.ends_session() {
        true => api.revoke_family(),
        false => api.revoke_all(),
    }
    if let Some(misbehaviour) = point.misbehaviour() {
        api.misbehave(misbehaviour, Times::Next(1));
    }
    if point.is_at_start() {
        drop(process);
        if matches!(point, Point::At(_, Verb::Seed)) {
            lane.reseed().await;
        }
        process = lane.launch(Some((Blow::Kill, point))).await;
    }
    let before = lane.counts();
    match point {
        Point::At(..) if point.is_at_start() => process.died(&point.to_string()).await,
        Point::At(..) => {
            process.arm(Blow::Kill, point).await;
            let caller = lane.asking(&process);
            process.died(&point.to_string()).await;
            assert_eq!(
                caller.await.unwrap(),
                "cut off",
                "the caller of a process killed at: {point}"
            );
        }
        Point::While(served) => {
            let caller = lane.asking(&process);
            reached(lane, before, served).await;
            process.kill();
            process.died(&point.to_string()).await;
            assert_eq!(
                caller.await.unwrap(),
                "cut off",
                "the caller of a process killed at: {point}"
            );
        }
    }
    lane.api().behave();

    let restart = Stopwatch::start();
    let mut process = lane.launch(None).await;
    let answer = lane.ask(&process).await;
    let after = lane.counts();
    let expected = expected(lane.setup, point);
    tally.kills += 1;
    tally.spends += after.spends - before.spends;
    tally.reuses += after.reuses - before.reuses;
    tally.sign_ins += after.password - before.password;
    tally.lost += u64::from(answer == LOGIN_REQUIRED && !point.ends_session());
    tally.slowest = restart.elapsed();
    if answer != expected {
        tally.failed += 1;
        let case = format!("{}, {point}: {answer}; the process: {}", lane.setup, process.end());
        tell_case(&case, before, after);
    }
    if answer != "200" {
        drop(process);
        lane.reseed().await;
        process = lane.start().await;
    }
    process
}

/// What the first caller after the restart gets.
fn expected(setup: Setup, point: Point) -> &'static str {
    let is_lost = match setup {
        Setup::SignIn => false,
        Setup::Grace => point.ends_session(),
        Setup::Neither => point.ends_session() || point.is_between_answer_and_save(),
    };
    if is_lost { LOGIN_REQUIRED } else { "200" }
}

/// Waits until the server has come so far with a token request.
pub(crate) async fn reached(lane: &Lane, before: Counts, served: Served) {
    let start = Stopwatch::start();
    let has_come = || {
        let now = lane.counts();
        match served {
            Served::Read => now.token_requests() > before.token_requests(),
            Served::Handled | Served::HalfSent => now.spends > before.spends,
        }
    };
    while !has_come() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "the server never saw a token request"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    if served == Served::HalfSent {
        tokio::time::sleep(DRIPPING).await;
    }
}

#[expect(clippy::print_stderr, reason = "an outcome that nobody expected, beside the table")]
fn tell_case(case: &str, before: Counts, after: Counts) {
    eprintln!("{case}\n  before {before:?}\n  after  {after:?}");
}

impl Tally {
    fn add(&mut self, more: Self) {
        self.kills += more.kills;
        self.spends += more.spends;
        self.reuses += more.reuses;
        self.lost += more.lost;
        self.sign_ins += more.sign_ins;
        self.failed += more.failed;
        self.slowest = self.slowest.max(more.slowest);
    }
}

/// Shows the table.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
pub(crate) fn show(table: &Table) {
    println!("| set-up | killed at | kills | spends | reuses | lost | sign-ins | failed | slowest recovery |");
    println!("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut sum = Tally::default();
    for setup in Setup::ALL {
        for point in POINTS {
            let Some(tally) = table.get(&(setup, point)) else {
                continue;
            };
            show_row(&setup.to_string(), &point.to_string(), *tally);
            sum.add(*tally);
        }
    }
    show_row("all", "", sum);
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
fn show_row(setup: &str, point: &str, tally: Tally) {
    let Tally {
        kills,
        spends,
        reuses,
        lost,
        sign_ins,
        failed,
        slowest,
    } = tally;
    println!(
        "| {setup:7} | {point:31} | {kills:4} | {spends:4} | {reuses:4} | {lost:4} | {sign_ins:4} | {failed:4} | {:.1} s |",
        slowest.as_secs_f64()
    );
}

/// What the table must say: docs/protocol.md, and its residue.
pub(crate) fn judge(table: &Table) {
    for ((setup, point), tally) in table {
        let case = format!("{setup}, killed at: {point}: {tally:?}");
        assert_eq!(tally.failed, 0, "{case}");
        let residue = *setup == Setup::Neither && point.is_between_answer_and_save();
        if !residue {
            assert_eq!(tally.lost, 0, "a session was lost: {case}");
            assert_eq!(tally.reuses, 0, "a spent refresh token was sent: {case}");
        }
        if *setup != Setup::SignIn {
            assert_eq!(tally.sign_ins, 0, "{case}");
        }
        // Where the kill came before the first byte, or after the answer was saved, nobody signs in again.
        let is_in_doubt = matches!(point, Point::While(_))
            || matches!(point, Point::At(Edge::After, Verb::Claim | Verb::Check))
            || matches!(point, Point::At(_, Verb::Read))
            || point.ends_session()
            || matches!(
                point,
                Point::At(Edge::Before, Verb::Check | Verb::Commit | Verb::Release)
            );
        if !is_in_doubt {
            assert_eq!(tally.sign_ins, 0, "a sign-in without need: {case}");
        }
    }
}
