//! Clocks that jump at each step of a spend: the wall clock by an hour, or all of them, as after a suspend.

use std::{fmt, time::Duration};

use bearerd::demo::{Misbehaviour, Times};
use tokio::task::JoinSet;

use crate::{
    blow::Blow,
    cuts::settled,
    kills::reached,
    lane::{Lane, Store},
    point::{POINTS, Point, Served, Setup},
    process::Process,
    table::{Case, Outcome},
};

const HOUR: Duration = Duration::from_secs(3600);

/// What happens to the clocks of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jump {
    WallForward,
    WallBack,
    /// Nobody ran for an hour; the server's clock goes on too.
    Suspend,
}

impl Jump {
    pub(crate) const ALL: [Self; 3] = [Self::WallForward, Self::WallBack, Self::Suspend];
}

impl fmt::Display for Jump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WallForward => "wall clock an hour forward",
            Self::WallBack => "wall clock an hour back",
            Self::Suspend => "suspended for an hour",
        })
    }
}

/// Whether a spend of this set-up passes this point, and goes on from there.
fn has(setup: Setup, point: Point) -> bool {
    match point {
        Point::At(..) => !point.is_at_start() && (setup == Setup::SignIn || !point.ends_session()),
        Point::While(served) => served == Served::HalfSent,
    }
}

/// Lets the clocks jump at each point of each set-up, once.
pub(crate) async fn jump(jump: Jump, store: Store) -> Vec<Case> {
    let mut running = JoinSet::new();
    for setup in Setup::ALL {
        running.spawn(async move {
            let mut lane = Lane::expiring(setup, store, 0).await;
            let mut processes = vec![lane.start().await, lane.start().await];
            let mut cases = Vec::new();
            let points = POINTS.into_iter().filter(|point| point.exists_in(setup));
            for point in points.filter(|point| has(setup, *point)) {
                let outcome = jump_at(&mut lane, &mut processes, jump, point).await;
                let name = point.to_string();
                cases.push(Case { setup, name, outcome });
            }
            (setup, cases)
        });
    }
    let mut lanes = running.join_all().await;
    lanes.sort_by_key(|(setup, _)| *setup);
    lanes.into_iter().flat_map(|(_, cases)| cases).collect()
}

async fn jump_at(lane: &mut Lane, processes: &mut [Process], jump: Jump, point: Point) -> Outcome {
    match point.ends_session() {
        true => lane.api().revoke_family(),
        false => lane.api().revoke_all(),
    }
    let before = lane.counts();
    let own = match point {
        Point::At(..) => {
            if let Some(misbehaviour) = point.misbehaviour() {
                lane.api().misbehave(misbehaviour, Times::Next(1));
            }
            processes[0].arm(Blow::Pause, point).await;
            let own = lane.asking(&processes[0]);
            processes[0].struck().await;
            own
        }
        Point::While(_) => {
            lane.api().misbehave(Misbehaviour::TwoChunks, Times::Next(1));
            let own = lane.asking(&processes[0]);
            reached(lane, before, Served::Handled).await;
            own
        }
    };
    lane.api().behave();
    let hour = i64::try_from(HOUR.as_millis()).unwrap();
    match jump {
        Jump::WallForward => lane.step(hour, processes).await,
        Jump::WallBack => lane.step(-hour, processes).await,
        Jump::Suspend => lane.forward(HOUR, processes).await,
    }
    if matches!(point, Point::At(..)) {
        processes[0].resume().await;
    }
    let own = own.await.unwrap();
    let mut afterwards = vec![settled(lane, &processes[0]).await, settled(lane, &processes[1]).await];
    // And what was saved before is good for one that starts now.
    processes[0] = lane.launch(None).await;
    afterwards.push(settled(lane, &processes[0]).await);
    Outcome::of(own, &afterwards, before, lane.counts())
}

/// What the table must say.
pub(crate) fn judge(cases: &[Case]) {
    for case in cases {
        let outcome = &case.outcome;
        assert_eq!((outcome.reuses, outcome.lost), (0, false), "{case:?}");
        assert!(outcome.spends + outcome.sign_ins <= 3, "a treadmill: {case:?}");
        if case.setup != Setup::SignIn {
            assert_eq!(outcome.sign_ins, 0, "{case:?}");
        }
    }
}
