//! The store's server crashes at each verb of a spend, stays away for longer than a lease, and comes back.

use std::time::Duration;

use bearerd::demo::Times;

use crate::{
    blow::Blow,
    cuts::settled,
    lane::{Lane, Store, lease},
    point::{POINTS, Point, Setup},
    servers::Running,
    table::{Case, Outcome},
};

/// How much longer than a lease it stays away.
const BEYOND: Duration = Duration::from_secs(1);

/// Crashes the server at every `step`-th verb, of a process that has no other way to tokens than its refresh token.
pub(crate) async fn crash(store: Store, server: &mut Running, step: usize) -> Vec<Case> {
    let setup = Setup::Neither;
    let lane = Lane::new(setup, store, 0).await;
    let mut process = lane.start().await;
    let is_verb = |point: &Point| {
        matches!(point, Point::At(..)) && point.exists_in(setup) && !point.is_at_start() && !point.ends_session()
    };
    let mut cases = Vec::new();
    for point in POINTS.into_iter().filter(is_verb).step_by(step) {
        lane.api().revoke_all();
        if let Some(misbehaviour) = point.misbehaviour() {
            lane.api().misbehave(misbehaviour, Times::Next(1));
        }
        let before = lane.counts();
        process.arm(Blow::Pause, point).await;
        let own = lane.asking(&process);
        process.struck().await;
        server.down();
        process.resume().await;
        tokio::time::sleep(lease() + BEYOND).await;
        server.up();
        let own = own.await.unwrap();
        let afterwards = [settled(&lane, &process).await];
        cases.push(Case {
            setup,
            name: point.to_string(),
            outcome: Outcome::of(own, &afterwards, before, lane.counts()),
        });
    }
    cases
}

/// What the table must say: nothing is lost by a store that comes back.
pub(crate) fn judge(cases: &[Case]) {
    for case in cases {
        let outcome = &case.outcome;
        assert_eq!(
            (outcome.spends, outcome.reuses, outcome.lost),
            (1, 0, false),
            "{case:?}"
        );
    }
}
