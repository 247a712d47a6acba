//! What may happen next in a state.

use bearerd::credential::lifecycle::{Offer, Step};
use bearerd::credential::record::Kind;

use crate::world::World;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// A process does its next step.
    Step(usize, Fault, Meanwhile),
    /// A process dies, and is started again; that it stays away is that it takes no step.
    Crash(usize),
    /// The API rejects the access token that a process offers.
    Reject(usize),
    /// Nobody acts until then.
    Jump(u64),
    /// The server handles a request that was given up as lost.
    Arrive(usize),
    /// A person signs in through a process.
    Login(usize),
    /// What that brought is saved.
    Save(usize, Fault),
    /// A process hears of the sign-in that was saved.
    Mail(usize),
    /// The provider ends the grant.
    Revoke,
}

/// What goes wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The store fails before it does anything; the request never leaves.
    Before,
    /// The store did it, and the acknowledgement is lost; the server did it, and the reply is lost.
    After,
    /// The request is given up while it is on its way.
    Late,
    /// The server refuses for a reason that is not the token (429).
    Refuse,
}

/// What a process is told between the deed and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    Nothing,
    Reject,
    Mail,
}

impl World {
    pub(crate) fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::with_capacity(16);
        for process in 0..self.processes.len() {
            self.acts_of(process, &mut acts);
        }
        if self.left.jumps > 0 {
            acts.extend(self.deadlines().into_iter().map(Act::Jump));
        }
        for (index, token) in self.late.iter().enumerate() {
            if !self.late[..index].contains(token) {
                acts.push(Act::Arrive(index));
            }
        }
        let is_alive = self
            .stored_family()
            .is_some_and(|family| !self.server.families[family].dead);
        if self.left.revocations > 0 && is_alive {
            acts.push(Act::Revoke);
        }
        acts
    }

    fn acts_of(&self, process: usize, acts: &mut Vec<Act>) {
        let state = &self.processes[process];
        let step = self.step(process);
        let offers = matches!(self.offer(process), Offer::Token(_));
        if step.is_io() {
            acts.push(Act::Step(process, Fault::None, Meanwhile::Nothing));
            if self.left.faults > 0 {
                let faults = faults(&step).iter();
                acts.extend(faults.map(|fault| Act::Step(process, *fault, Meanwhile::Nothing)));
            }
            if state.mail.is_some() {
                acts.push(Act::Step(process, Fault::None, Meanwhile::Mail));
            }
            if self.left.rejections > 0 && offers {
                acts.push(Act::Step(process, Fault::None, Meanwhile::Reject));
            }
        }
        // A process that has just been started loses nothing by a crash.
        if self.left.crashes > 0 && (step != Step::Load || state.lifecycle.position().is_some()) {
            acts.push(Act::Crash(process));
        }
        if self.left.rejections > 0 && offers {
            acts.push(Act::Reject(process));
        }
        if state.mail.is_some() {
            acts.push(Act::Mail(process));
        }
        if state.login.is_some() {
            acts.push(Act::Save(process, Fault::None));
            if self.left.faults > 0 {
                acts.extend([Fault::Before, Fault::After].map(|fault| Act::Save(process, fault)));
            }
        } else if self.left.logins > 0 && state.mail.is_none() {
            acts.push(Act::Login(process));
        }
    }
}

fn faults(step: &Step) -> &'static [Fault] {
    match step {
        Step::Rest(_) => &[],
        Step::Load | Step::Check(_) | Step::Connect(_) => &[Fault::Before],
        Step::Seed { .. } | Step::Claim { .. } | Step::Commit { .. } | Step::Release { .. } | Step::MarkDead(_) => {
            &[Fault::Before, Fault::After]
        }
        Step::Send { claim, .. } if claim.kind == Kind::Refresh => {
            &[Fault::Before, Fault::After, Fault::Late, Fault::Refuse]
        }
        Step::Send { .. } => &[Fault::Before, Fault::After, Fault::Refuse],
    }
}
