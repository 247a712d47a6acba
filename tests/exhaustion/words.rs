//! A history in words.

use bearerd::credential::{
    lifecycle::{Offer, Step},
    record::{Kind, State},
};

use crate::{
    act::{Act, Fault, Meanwhile},
    laws::claim_name,
    server,
    setup::at,
    world::World,
};

pub(crate) fn process(process: usize) -> char {
    ['A', 'B', 'C'][process]
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Refresh => "refresh",
        Kind::SignIn => "sign in",
        Kind::Restore(_) => "restore",
    }
}

/// What this act is, in the state before it.
pub(crate) fn act(world: &World, act: Act) -> String {
    match act {
        Act::Step(by, fault, meanwhile) => {
            let meanwhile = match meanwhile {
                Meanwhile::Nothing => "",
                Meanwhile::Reject => "; meanwhile its access token is rejected",
                Meanwhile::Mail => "; meanwhile it hears of the sign-in by hand",
            };
            let step = world.step(by);
            format!("{} {}{}{meanwhile}", process(by), deed(&step), failure(&step, fault))
        }
        Act::Crash(by) => format!("{} crashes and starts again", process(by)),
        Act::Reject(by) => format!("the API rejects the token that {} offers", process(by)),
        Act::Jump(to) => format!("time goes by until {} s", to as f64 / 1000.0),
        Act::Arrive(index) => format!("a late request with r{} reaches the server", world.late[index]),
        Act::Login(by) => format!("a person signs in through {}", process(by)),
        Act::Save(by, fault) => format!("{}'s sign-in by hand is saved{}", process(by), store_failure(fault)),
        Act::Mail(by) => format!("{} hears of the sign-in by hand", process(by)),
        Act::Revoke => "the provider ends the grant".into(),
    }
}

fn deed(step: &Step) -> String {
    match step {
        Step::Rest(_) => "waits".into(),
        Step::Load => "looks at the store".into(),
        Step::Seed { tokens, .. } => format!("starts a chain with its seed r{}", server::number(tokens).unwrap_or(0)),
        Step::Connect(_) => "connects".into(),
        Step::Claim { on, kind: what, id } => format!("claims {on} to {} ({})", kind(*what), claim_name(*id)),
        Step::Check(claim) => format!("checks its claim on {} ({})", claim.on, claim_name(claim.id)),
        Step::Send { claim, held, .. } => match (claim.kind, held.as_deref().and_then(server::number)) {
            (Kind::Refresh, Some(token)) => format!("sends r{token}"),
            _ => "asks to sign in".into(),
        },
        Step::Commit { tokens, claim, .. } => {
            format!("saves r{} as {}", server::number(tokens).unwrap_or(0), claim.brings())
        }
        Step::Release { in_doubt, claim, .. } => {
            let doubt = if *in_doubt { ", in doubt" } else { "" };
            format!("releases {}{doubt}", claim_name(claim.id))
        }
        Step::MarkDead(claim) => format!("marks {} dead", claim.on),
    }
}

fn failure(step: &Step, fault: Fault) -> &'static str {
    match (step, fault) {
        (Step::Connect(_) | Step::Send { .. }, Fault::Before) => ", which never leaves",
        (Step::Send { .. }, Fault::After) => "; the server answers, and the answer is lost",
        _ => store_failure(fault),
    }
}

fn store_failure(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "",
        Fault::Before => ", but the store is down",
        Fault::After => "; it is done, and the acknowledgement is lost",
        Fault::Late => "; given up while it is on its way",
        Fault::Refuse => "; refused with 429",
    }
}

/// A deed and the state it was done in.
pub(crate) fn moment(world: &World, deed: &str) -> String {
    format!("{:>6.1} s  {:<60} | {}", world.now as f64 / 1000.0, deed, state(world))
}

/// The state in a line.
pub(crate) fn state(world: &World) -> String {
    let mut text = match &world.store.record {
        None => "nothing is stored".to_owned(),
        Some(record) => {
            let mut text = format!("stored {}/{}", record.position, record.attempt);
            if let Some(token) = server::number(&record.tokens) {
                text += &format!(" r{token}");
            }
            if record.state == State::Dead {
                text += " dead";
            }
            if record.doubt {
                text += " in doubt";
            }
            if let Some(claim) = &record.claim {
                let until = claim.lease.until.saturating_sub(at(0).boot) as f64 / 1000.0;
                let doubt = if claim.in_doubt { " in doubt" } else { "" };
                text += &format!(
                    ", {} claims {}/{}{doubt} until {until} s",
                    claim_name(claim.id),
                    claim.on,
                    claim.attempt
                );
            }
            text
        }
    };
    for (index, state) in world.processes.iter().enumerate() {
        let held = state
            .lifecycle
            .position()
            .map_or("nothing".into(), |held| held.to_string());
        let offer = match world.offer(index) {
            Offer::Token(_) => "offers",
            Offer::Wait => "waits with",
            Offer::Refused(..) if world.needs_login(index) => "needs a login with",
            Offer::Refused(..) => "pauses with",
        };
        text += &format!("; {} {offer} {held}", process(index));
    }
    text
}
