//! What a process's step does to the store and to the server, and what the process is told of it.

use bearerd::credential::{
    lifecycle::{Event, Step},
    record::{Checked, Claim, Claimed, Kind},
    reply::{About, Lost, Outcome},
};

use crate::{
    act::Fault,
    laws::Broken,
    server::{self, Answer},
    setup::{millis, seed_tokens},
    world::{World, ask_claim},
};

impl World {
    /// Does what a process's step says, and returns what it will be told.
    pub(crate) fn perform(&mut self, process: usize, fault: Fault) -> Result<Event, Broken> {
        let step = self.step(process);
        if fault == Fault::Before {
            return Ok(unable(&step));
        }
        let before = self.store.record.clone();
        let is_lost = fault == Fault::After;
        let now = self.now;
        let (event, claim) = match step {
            Step::Rest(_) => (Event::Tick, None),
            Step::Connect(_) => (Event::Connected, None),
            Step::Load => {
                self.processes[process].seen = before.clone();
                let record = before.as_deref().cloned().map(Box::new);
                (Event::Loaded(Ok(record)), None)
            }
            Step::Seed { id, hash, .. } => {
                let tokens = seed_tokens(self.setup.seed(process).unwrap_or_default());
                let answer = self.store.seed(id, hash, &tokens);
                (Event::Seeded(acknowledged(answer, is_lost)), None)
            }
            Step::Claim { id, on, kind } => {
                let answer = self.store.claim(ask_claim(id, on, kind), now);
                self.processes[process].seen = self.store.record.clone();
                if let Claimed::Granted(claim) = &answer {
                    self.granted(process, claim, before.as_deref())?;
                }
                (Event::Claimed(acknowledged(answer, is_lost)), None)
            }
            Step::Check(claim) => {
                let truth = self.store.check(&claim, now);
                self.processes[process].vouched = match truth {
                    Checked::Standing(left) => Some(now + millis(left)),
                    Checked::Moved(_) => None,
                };
                self.processes[process].seen = before.clone();
                (Event::Checked(Ok(self.store.answer_check(&claim, now))), None)
            }
            Step::Send { claim, held, .. } => {
                let token = held.as_deref().and_then(server::number);
                return self.send(process, &claim, token, fault);
            }
            Step::Commit { claim, tokens, lineage } => {
                let answer = self.store.commit(&claim, &tokens, &lineage);
                (Event::Committed(acknowledged(answer, is_lost)), Some(claim))
            }
            Step::Release {
                claim,
                back_off,
                in_doubt,
            } => {
                self.store.release(&claim, back_off, in_doubt);
                (Event::Released(acknowledged((), is_lost)), Some(claim))
            }
            Step::MarkDead(claim) => {
                let answer = self.store.mark_dead(&claim);
                (Event::MarkedDead(acknowledged(answer, is_lost)), Some(claim))
            }
        };
        self.wrote(before.as_deref(), claim.as_ref())?;
        Ok(event)
    }

    fn send(&mut self, process: usize, claim: &Claim, token: Option<usize>, fault: Fault) -> Result<Event, Broken> {
        let refreshed = token.filter(|_| claim.kind == Kind::Refresh);
        self.may_send(process, claim, refreshed)?;
        let vouched = self.processes[process].vouched.take();
        if fault == Fault::Refuse {
            return Ok(Event::Answered(server::refused(About::Rate, 429)));
        }
        if let Some(token) = refreshed {
            self.server_mut().tokens[token].open = true;
        }
        if matches!(fault, Fault::After | Fault::Late) {
            self.processes[process].lost = Some(claim.id);
        }
        let (now, grace) = (self.now, self.setup.grace);
        let answer = match refreshed {
            Some(token) if fault == Fault::Late => {
                self.late.push(token);
                return Ok(Event::Answered(Outcome::Lost(Lost::NoAnswer)));
            }
            Some(token) => {
                let answer = self.server_mut().refresh(token, now, grace);
                self.reused(token, answer, vouched);
                answer
            }
            None => Answer::Granted(self.server_mut().sign_in(false)),
        };
        if fault != Fault::None {
            return Ok(Event::Answered(Outcome::Lost(Lost::NoAnswer)));
        }
        Ok(Event::Answered(match answer {
            Answer::Granted(token) => {
                self.processes[process].in_hand = Some(token);
                Outcome::Granted(server::reply(token, now))
            }
            Answer::Reused | Answer::Dead => server::refused(About::RefreshToken, 400),
        }))
    }
}

fn acknowledged<A>(answer: A, is_lost: bool) -> Result<A, String> {
    if is_lost {
        Err("no acknowledgement".into())
    } else {
        Ok(answer)
    }
}

/// The store is down; the request never leaves.
fn unable(step: &Step) -> Event {
    let down = || "down".to_owned();
    match step {
        Step::Rest(_) => Event::Tick,
        Step::Load => Event::Loaded(Err(down())),
        Step::Seed { .. } => Event::Seeded(Err(down())),
        Step::Claim { .. } => Event::Claimed(Err(down())),
        Step::Check(_) => Event::Checked(Err(down())),
        Step::Commit { .. } => Event::Committed(Err(down())),
        Step::Release { .. } => Event::Released(Err(down())),
        Step::MarkDead(_) => Event::MarkedDead(Err(down())),
        Step::Connect(_) | Step::Send { .. } => Event::NeverLeft(down()),
    }
}
