//! A store that is cut off at each verb of a spend for longer than a lease, or is as slow as that.

use std::{fmt, time::Duration};

use bearerd::demo::Times;
use tokio::task::JoinSet;

use crate::{
    blow::Blow,
    lane::{LIFETIME, Lane, Store, lease},
    point::{Edge, POINTS, Point, Setup, Verb},
    process::Process,
    table::{Case, LOGIN_REQUIRED, Outcome},
    time::Stopwatch,
};

/// How much longer than a lease a store is cut off.
const BEYOND: Duration = Duration::from_secs(1);
/// Back-offs are over by then, those of a store that was away for so long.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two calls.
const STEP: Duration = Duration::from_millis(100);
/// Before the expiry: the access token is to be renewed, and is good.
const AHEAD: Duration = Duration::from_secs(300);

/// Who is there, and why a token is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// One process, whose access token was revoked.
    Alone,
    /// Another one, which reaches the store, and takes over.
    Beside,
    /// One process, whose access token is renewed ahead of its expiry.
    Ahead,
}

impl fmt::Display for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone, token revoked",
            Self::Beside => "beside another, token revoked",
            Self::Ahead => "alone, token good",
        })
    }
}

/// What it is to the store.
pub(crate) fn words(blow: Blow) -> &'static str {
    match blow {
        Blow::Delay => "slower than a lease:",
        _ => "cut off for longer than a lease:",
    }
}

impl Scene {
    fn has(self, setup: Setup, point: Point) -> bool {
        point.exists_in(setup)
            && matches!(point, Point::At(..))
            && match self {
                Self::Alone => true,
                Self::Beside => !point.is_at_start(),
                Self::Ahead => !point.is_at_start() && !point.ends_session(),
            }
    }
}

/// Cuts the store off, or slows it down, at each verb of each set-up.
pub(crate) async fn hit(blow: Blow, scene: Scene, store: Store) -> Vec<Case> {
    let mut running = JoinSet::new();
    for setup in Setup::ALL {
        // They stand still most of the time, and so do many at once.
        let points: Vec<Point> = POINTS.into_iter().filter(|point| scene.has(setup, *point)).collect();
        for (number, points) in points.chunks(2).map(<[Point]>::to_vec).enumerate() {
            running.spawn(async move { (setup, number, of_lane(blow, scene, store, setup, number, points).await) });
        }
    }
    let mut lanes = running.join_all().await;
    lanes.sort_by_key(|(setup, number, _)| (*setup, *number));
    lanes.into_iter().flat_map(|(.., cases)| cases).collect()
}

async fn of_lane(blow: Blow, scene: Scene, store: Store, setup: Setup, number: usize, points: Vec<Point>) -> Vec<Case> {
    let mut lane = match scene {
        Scene::Ahead => Lane::expiring(setup, store, number).await,
        Scene::Alone | Scene::Beside => Lane::new(setup, store, number).await,
    };
    let mut processes = Vec::new();
    let mut cases = Vec::new();
    for point in points {
        if processes.is_empty() {
            processes.push(lane.start().await);
            if scene == Scene::Beside {
                processes.push(lane.start().await);
            }
        }
        let outcome = hit_at(&mut lane, &mut processes, blow, scene, point).await;
        if outcome.afterwards.contains(LOGIN_REQUIRED) || outcome.lost {
            processes.clear();
            lane.reseed().await;
        }
        cases.push(Case {
            setup,
            name: name(blow, point),
            outcome: Outcome {
                lost: outcome.lost && !(point.ends_session() && setup != Setup::SignIn),
                ..outcome
            },
        });
    }
    cases
}

fn name(blow: Blow, point: Point) -> String {
    match (blow, point) {
        (_, Point::At(Edge::Before, verb)) => format!("before {verb}"),
        (Blow::Cut, Point::At(Edge::After, verb)) => format!("{verb} unacknowledged"),
        (_, Point::At(Edge::After, verb)) => format!("answer to {verb}"),
        (_, point) => point.to_string(),
    }
}

async fn hit_at(lane: &mut Lane, processes: &mut Vec<Process>, blow: Blow, scene: Scene, point: Point) -> Outcome {
    match (scene, point.ends_session()) {
        (Scene::Ahead, _) => {}
        (_, true) => lane.api().revoke_family(),
        (_, false) => lane.api().revoke_all(),
    }
    if let Some(misbehaviour) = point.misbehaviour() {
        lane.api().misbehave(misbehaviour, Times::Next(1));
    }
    if point.is_at_start() {
        processes.clear();
        if matches!(point, Point::At(_, Verb::Seed)) {
            lane.reseed().await;
        }
        processes.push(lane.launch(Some((blow, point))).await);
    } else {
        processes[0].arm(blow, point).await;
    }
    let before = lane.counts();
    let own = match scene {
        Scene::Ahead => {
            lane.forward(LIFETIME - AHEAD, processes).await;
            // A token is renewed ahead of its expiry only while it is in use.
            assert_eq!(lane.ask(&processes[0]).await, "200");
            None
        }
        Scene::Alone | Scene::Beside => Some(lane.asking(&processes[0])),
    };
    processes[0].struck().await;
    let since = Stopwatch::start();
    lane.api().behave();
    let mut meanwhile = Vec::new();
    if let [_, other] = &processes[..] {
        meanwhile.push(format!("other's {}", lane.ask(other).await));
    }
    if scene == Scene::Ahead {
        meanwhile.push(calls(lane, processes, lease() + BEYOND).await);
    }
    if blow == Blow::Cut {
        tokio::time::sleep((lease() + BEYOND).saturating_sub(since.elapsed())).await;
        processes[0].mend().await;
    }
    if let Some(own) = own {
        meanwhile.insert(0, format!("own {}", own.await.unwrap()));
    }
    if scene == Scene::Ahead {
        // It is renewed by itself; and what it holds then is good for another time.
        let start = Stopwatch::start();
        while lane.counts().token_requests() == before.token_requests() && start.elapsed() < PATIENCE {
            tokio::time::sleep(STEP).await;
        }
        lane.expire(processes).await;
    }
    let mut afterwards = Vec::new();
    for process in &*processes {
        afterwards.push(settled(lane, process).await);
    }
    Outcome::of(meanwhile.join(", "), &afterwards, before, lane.counts())
}

/// Calls again and again, for so long: how many failed.
pub(crate) async fn calls(lane: &Lane, processes: &[Process], span: Duration) -> String {
    let start = Stopwatch::start();
    let mut failed = 0;
    while start.elapsed() < span {
        for process in processes {
            failed += u32::from(lane.ask(process).await != "200");
        }
        tokio::time::sleep(STEP).await;
    }
    format!("{failed} failed")
}

/// The answer that stays: a success, or that a person is needed.
pub(crate) async fn settled(lane: &Lane, process: &Process) -> String {
    let start = Stopwatch::start();
    loop {
        let answer = lane.ask(process).await;
        if answer == "200" || answer == LOGIN_REQUIRED || start.elapsed() > PATIENCE {
            return answer;
        }
        tokio::time::sleep(STEP).await;
    }
}

/// What the table must say.
pub(crate) fn judge(scene: Scene, cases: &[Case]) {
    for case in cases {
        let Case { setup, name, outcome } = case;
        // Another process took over, and the answer was in the hands of one that could not save it.
        let is_residue = (scene, *setup) == (Scene::Beside, Setup::Neither) && name == "before commit";
        assert_eq!(outcome.lost, is_residue, "{case:?}");
        assert_eq!(outcome.reuses, u64::from(is_residue), "{case:?}");
        if *setup != Setup::SignIn {
            assert_eq!(outcome.sign_ins, 0, "{case:?}");
        }
        if scene == Scene::Ahead {
            assert_eq!(outcome.meanwhile, "0 failed", "{case:?}");
        }
        if (scene, *setup) == (Scene::Beside, Setup::SignIn) {
            assert!(outcome.meanwhile.ends_with("other's 200"), "{case:?}");
        }
    }
}
