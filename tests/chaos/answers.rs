//! The token endpoint drops its answers, or is late with them, while two processes share a store.

use std::time::Duration;

use bearerd::demo::{Misbehaviour, Times};
use tokio::task::JoinSet;

use crate::{
    cuts::{calls, settled},
    lane::{LIFETIME, Lane, Store, lease},
    point::Setup,
    process::Process,
    table::{Case, Outcome},
};

/// What happens to an answer: how it reads, and whether the server has spent the token and nobody learns it.
const FATES: [(Misbehaviour, &str, bool); 9] = [
    (Misbehaviour::TwoChunks, "late, within its time", false),
    (Misbehaviour::LostBefore, "cut before anything happened", false),
    (Misbehaviour::HangBefore, "silence, nothing happened", false),
    (Misbehaviour::Status500, "500, nothing happened", false),
    (Misbehaviour::RateLimited429, "429", false),
    (Misbehaviour::LostReply, "dropped", true),
    (Misbehaviour::Hang, "silence", true),
    (Misbehaviour::Truncated, "half of it", true),
    (Misbehaviour::Drip, "too slow", true),
];

/// How many callers each process has at a time.
const CALLERS: usize = 3;
/// Before the expiry: the access token is to be renewed, and is good.
const AHEAD: Duration = Duration::from_secs(300);
/// How much later than a lease a loss, its back-off, and what follows at once are over.
const BEYOND: Duration = Duration::from_secs(3);

/// Lets each fate befall an answer in each set-up, once the access token was rejected or ahead of its expiry.
pub(crate) async fn befall(ahead: bool, store: Store) -> Vec<Case> {
    let mut running = JoinSet::new();
    for setup in Setup::ALL {
        for (number, fates) in FATES.chunks(2).enumerate() {
            running.spawn(async move {
                let mut lane = Lane::expiring(setup, store, number).await;
                let mut cases = Vec::new();
                let mut processes = Vec::new();
                for (misbehaviour, name, _) in fates {
                    if processes.is_empty() {
                        processes = vec![lane.start().await, lane.start().await];
                    }
                    let outcome = befall_one(&mut lane, &mut processes, ahead, *misbehaviour).await;
                    if outcome.lost {
                        processes.clear();
                        lane.reseed().await;
                    }
                    let name = (*name).to_owned();
                    cases.push(Case { setup, name, outcome });
                }
                (setup, number, cases)
            });
        }
    }
    let mut lanes = running.join_all().await;
    lanes.sort_by_key(|(setup, number, _)| (*setup, *number));
    lanes.into_iter().flat_map(|(.., cases)| cases).collect()
}

async fn befall_one(lane: &mut Lane, processes: &mut [Process], ahead: bool, misbehaviour: Misbehaviour) -> Outcome {
    let before = lane.counts();
    lane.api().misbehave(misbehaviour, Times::Next(1));
    if ahead {
        lane.forward(LIFETIME - AHEAD, processes).await;
    } else {
        lane.api().revoke_all();
    }
    let callers = processes.iter().flat_map(|process| [process; CALLERS]);
    let callers: Vec<_> = callers.map(|process| lane.asking(process)).collect();
    let mut failed = 0;
    for caller in callers {
        failed += u32::from(caller.await.unwrap() != "200");
    }
    let mut meanwhile = format!("{failed} of {} failed", CALLERS * processes.len());
    if ahead {
        meanwhile = format!("{meanwhile}, then {}", calls(lane, processes, lease() + BEYOND).await);
        // What was sent in doubt, and is held back while there is something to lose, is sent again now.
        lane.expire(processes).await;
    }
    let mut afterwards = Vec::new();
    for process in &*processes {
        afterwards.push(settled(lane, process).await);
    }
    lane.api().behave();
    Outcome::of(meanwhile, &afterwards, before, lane.counts())
}

/// What the table must say.
pub(crate) fn judge(ahead: bool, cases: &[Case]) {
    for case in cases {
        let is_lost = FATES.iter().any(|(_, name, lost)| *name == case.name && *lost);
        let is_residue = is_lost && case.setup == Setup::Neither;
        assert_eq!(case.outcome.lost, is_residue, "{case:?}");
        assert_eq!(case.outcome.reuses, u64::from(is_residue), "{case:?}");
        if case.setup != Setup::SignIn {
            assert_eq!(case.outcome.sign_ins, 0, "{case:?}");
        }
        if ahead {
            assert_eq!(case.outcome.meanwhile, "0 of 6 failed, then 0 failed", "{case:?}");
        }
    }
}
