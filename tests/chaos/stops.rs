//! SIGSTOP at each step of a spend, past the lease, then SIGCONT: what another process did meanwhile, and what the
//! resumed one does.

use std::time::Duration;

use bearerd::demo::Times;
use tokio::task::JoinSet;

use crate::{
    blow::Blow,
    kills::reached,
    lane::{Lane, Store, lease},
    point::{POINTS, Point, Setup},
    time::Stopwatch,
};

/// How much longer than its lease a holder stands still.
const BEYOND: Duration = Duration::from_millis(500);

/// What became of one stop.
#[derive(Debug)]
pub(crate) struct Stopped {
    pub(crate) setup: Setup,
    pub(crate) point: Point,
    /// What the other process's caller got, while the first stood still.
    pub(crate) other: String,
    /// What the stopped process's caller got once it went on.
    pub(crate) own: String,
    /// What both processes' next callers got.
    pub(crate) next: [String; 2],
    pub(crate) spends: u64,
    pub(crate) reuses: u64,
    pub(crate) families_revoked: u64,
    pub(crate) sign_ins: u64,
}

/// Stops a process at each point of each set-up.
pub(crate) async fn stop() -> Vec<Stopped> {
    let everywhere = Setup::ALL
        .into_iter()
        .flat_map(|setup| POINTS.map(|point| (setup, point)));
    let mut waiting: Vec<_> = everywhere
        .filter(|(setup, point)| point.exists_in(*setup) && !point.is_at_start())
        .enumerate()
        .collect();
    let (mut running, mut stopped) = (JoinSet::new(), Vec::new());
    loop {
        // Each stands still most of the time.
        while running.len() < 10
            && let Some((number, (setup, point))) = waiting.pop()
        {
            running.spawn(stop_at(setup, point, number));
        }
        match running.join_next().await {
            None => break,
            Some(Ok(outcome)) => stopped.push(outcome),
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    let place = |point| POINTS.iter().position(|other| *other == point);
    stopped.sort_by_key(|outcome| (outcome.setup, place(outcome.point)));
    stopped
}

async fn stop_at(setup: Setup, point: Point, number: usize) -> Stopped {
    let lane = Lane::new(setup, Store::Sqlite, number).await;
    let mut holder = lane.start().await;
    let other = lane.start().await;
    match point.ends_session() {
        true => lane.api().revoke_family(),
        false => lane.api().revoke_all(),
    }
    if let Some(misbehaviour) = point.misbehaviour() {
        lane.api().misbehave(misbehaviour, Times::Next(1));
    }
    let before = lane.counts();
    let own = match point {
        Point::At(..) => {
            holder.arm(Blow::Stop, point).await;
            let own = lane.asking(&holder);
            holder.struck().await;
            own
        }
        Point::While(served) => {
            let own = lane.asking(&holder);
            reached(&lane, before, served).await;
            holder.stop();
            own
        }
    };
    let start = Stopwatch::start();
    lane.api().behave();
    let others = lane.ask(&other).await;
    tokio::time::sleep((lease() + BEYOND).saturating_sub(start.elapsed())).await;
    holder.resume().await;
    let own = own.await.unwrap();
    let next = [lane.ask(&holder).await, lane.ask(&other).await];
    let after = lane.counts();
    Stopped {
        setup,
        point,
        other: others,
        own,
        next,
        spends: after.spends - before.spends,
        reuses: after.reuses - before.reuses,
        families_revoked: after.families_revoked - before.families_revoked,
        sign_ins: after.password - before.password,
    }
}

/// Shows the table.
#[expect(clippy::print_stdout, reason = "shown with --nocapture, or when the test fails")]
pub(crate) fn show(stopped: &[Stopped]) {
    println!(
        "| set-up | stopped at | other's caller | own caller | next callers | spends | reuses | revoked | sign-ins |"
    );
    println!("| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: |");
    for Stopped {
        setup,
        point,
        other,
        own,
        next: [first, second],
        spends,
        reuses,
        families_revoked,
        sign_ins,
    } in stopped
    {
        println!(
            "| {setup:7} | {point:31} | {other} | {own} | {first}, {second} | {spends} | {reuses} | {families_revoked} \
             | {sign_ins} |"
        );
    }
}

/// What the table must say.
pub(crate) fn judge(stopped: &[Stopped]) {
    for outcome in stopped {
        let Stopped { setup, point, .. } = outcome;
        // One that stops on the way of the check's answer sees how late it is.
        let is_residue = point.is_between_answer_and_save();
        if *setup == Setup::SignIn {
            assert_eq!(outcome.other, "200", "{outcome:?}");
            assert_eq!(outcome.next, ["200", "200"], "{outcome:?}");
        } else if !(point.ends_session() || *setup == Setup::Neither && is_residue) {
            assert_eq!(outcome.next, ["200", "200"], "a session was lost: {outcome:?}");
        }
        if *setup != Setup::Neither || !is_residue {
            assert_eq!(outcome.reuses, 0, "a spent refresh token was sent: {outcome:?}");
        }
    }
}
