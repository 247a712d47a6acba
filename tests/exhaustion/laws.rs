//! What must hold: of each deed, and of each state.

use bearerd::credential::{
    lifecycle::{Offer, Step},
    record::{Claim, Id, Kind, Origin, Record, State},
    spec::OnDoubt,
    token::Position,
};

use crate::{
    server::{self, Answer},
    setup::{LEASE, Planted, at, millis},
    world::World,
};

/// A law that was broken, and how.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub law: &'static str,
    pub how: String,
}

pub(crate) const ONE_SPEND: &str = "law 1, one spend";
pub(crate) const CLAIM_BEFORE_SEND: &str = "law 2, claim before send";
pub(crate) const COMMIT_BEFORE_PUBLISH: &str = "law 3, commit before publish";
pub(crate) const LOSERS_DESTROY_NOTHING: &str = "law 7, losers destroy nothing";
pub(crate) const NO_PERSON_NEEDED: &str = "a token is to be had without a person";

/// Back-offs and looks that a recovery within the grace period may cost, in milliseconds.
const PATIENCE: u64 = 15_000;

fn broken(law: &'static str, how: impl Into<String>) -> Result<(), Broken> {
    Err(Broken { law, how: how.into() })
}

fn rank(record: Option<&Record>) -> (Position, u32) {
    record.map_or((Position::default(), 0), |record| (record.position, record.attempt))
}

impl World {
    /// Whether the rule for doubt is a sign-in, for tokens of this family.
    fn signs_in_on_doubt(&self, family: usize) -> bool {
        self.setup.can_sign_in
            && match self.setup.on_doubt {
                Some(OnDoubt::SignIn) => true,
                Some(OnDoubt::Retry) => false,
                None => !self.server.families[family].by_hand,
            }
    }

    /// Laws 1 and 2, at the first byte.
    pub(crate) fn may_send(&self, process: usize, claim: &Claim, token: Option<usize>) -> Result<(), Broken> {
        let state = &self.processes[process];
        let owns = state.granted == Some((claim.id, claim.attempt));
        if !owns && !self.has(Planted::NoClaim) {
            broken(
                CLAIM_BEFORE_SEND,
                "a request is sent under a claim that was never granted",
            )?;
        }
        let Some(number) = token else { return Ok(()) };
        let token = &self.server.tokens[number];
        if !token.open {
            return Ok(());
        }
        if self.signs_in_on_doubt(token.family) {
            broken(
                ONE_SPEND,
                format!("r{number} is sent again, though there is a sign-in grant"),
            )?;
        }
        // It stood still since its check, past its lease: the residue.
        let stopped = state.vouched.is_some_and(|until| self.now >= until);
        let knows = claim.in_doubt || state.lost == Some(claim.id);
        let is_in_use = state.lifecycle.position() == Some(claim.on) && state.lifecycle.is_usable(at(self.now));
        let nothing_to_lose = self.setup.grace.is_some() || !is_in_use;
        if !(stopped || knows && nothing_to_lose) {
            let why = if knows {
                "while the old access token works"
            } else {
                "without any doubt"
            };
            broken(ONE_SPEND, format!("r{number} is sent again, {why}"))?;
        }
        Ok(())
    }

    /// Keeps whether a family ended by the residue: a check found that nobody had saved what the token was spent for
    /// (and it was too late for the grace period), or this request went out or arrived late. `vouched` is until when
    /// the check held.
    pub(crate) fn reused(&mut self, token: usize, answer: Answer, vouched: Option<u64>) {
        if answer != Answer::Reused {
            return;
        }
        let refresh = &self.server.tokens[token];
        let in_time = refresh.spent_at.is_some_and(|spent| self.is_recoverable(spent));
        let residue = vouched.is_some_and(|until| self.now >= until || !in_time);
        let family = refresh.family;
        self.server_mut().families[family].residue = residue;
    }

    /// Whether there is time enough to spend it again within its grace period: a lease and a few steps.
    pub(crate) fn is_recoverable(&self, spent: u64) -> bool {
        match (self.setup.grace, self.calm_since) {
            (Some(grace), Some(since)) => since + millis(LEASE) + PATIENCE < spent + millis(grace),
            _ => false,
        }
    }

    /// Law 7, of a claim that is granted: a chain that works is not given up.
    pub(crate) fn granted(&mut self, process: usize, claim: &Claim, before: Option<&Record>) -> Result<(), Broken> {
        self.processes[process].granted = Some((claim.id, claim.attempt));
        let Some(record) = before.filter(|_| claim.kind == Kind::SignIn) else {
            return Ok(());
        };
        // Where doubt is forgotten, a record can't tell.
        let works = !self.has(Planted::ReleaseForgetsDoubt)
            && record.position.chain > 0
            && record.state == State::Live
            && !record.doubt
            && !claim.in_doubt;
        if works {
            broken(
                LOSERS_DESTROY_NOTHING,
                format!("chain {} works, and a sign-in gives it up", record.position.chain),
            )?;
        }
        Ok(())
    }

    /// Law 7, of everything that is written; `claim` is what it was written under.
    pub(crate) fn wrote(&mut self, before: Option<&Record>, claim: Option<&Claim>) -> Result<(), Broken> {
        let after = self.store.record.clone();
        let after = after.as_deref();
        if rank(after) < rank(before) {
            broken(LOSERS_DESTROY_NOTHING, "what is saved went back")?;
        }
        let Some(after) = after else { return Ok(()) };
        if before.is_none_or(|before| before.tokens != after.tokens)
            && let Some(token) = server::number(&after.tokens)
        {
            self.server_mut().tokens[token].saved = true;
        }
        let Some(before) = before else { return Ok(()) };
        if (before.state, after.state) == (State::Live, State::Dead) {
            let earned = before.claim.as_ref().zip(claim).is_some_and(|(standing, claim)| {
                (standing.id, standing.attempt) == (claim.id, claim.attempt) && standing.on == before.position
            });
            if !earned {
                broken(
                    LOSERS_DESTROY_NOTHING,
                    format!("{} is marked dead by a claim on something else", before.position),
                )?;
            }
        }
        let replaced = before.tokens != after.tokens && before.origin == Origin::ByHand;
        if replaced && claim.is_some_and(|claim| claim.on.chain < before.position.chain) {
            broken(LOSERS_DESTROY_NOTHING, "a sign-in by hand is lost to something older")?;
        }
        Ok(())
    }

    /// A process never goes back to less than it held.
    pub(crate) fn never_back(&self, process: usize, was: Option<Position>, is: Option<Position>) -> Result<(), Broken> {
        match (was, is) {
            (Some(was), Some(is)) if is < was => broken(
                LOSERS_DESTROY_NOTHING,
                format!("process {} held {was} and takes {is}", crate::words::process(process)),
            ),
            _ => Ok(()),
        }
    }

    /// Law 3, of each state.
    pub(crate) fn holds(&self) -> Result<(), Broken> {
        for (process, state) in self.processes.iter().enumerate() {
            let step = self.step(process);
            let name = crate::words::process(process);
            let lifecycle = &state.lifecycle;
            let kept = !lifecycle.is_quiet();
            let published = match &step {
                Step::Commit { tokens, .. } if self.has(Planted::PublishBeforeCommit) => Some((tokens, false)),
                _ => match (self.offer(process), lifecycle.tokens()) {
                    (Offer::Token(_), Some(tokens)) => Some((tokens, lifecycle.is_unsaved())),
                    _ => None,
                },
            };
            if let Some((tokens, flagged)) = published
                && let Some(number) = server::number(tokens)
                && !self.server.tokens[number].saved
                && !(flagged && kept)
            {
                broken(
                    COMMIT_BEFORE_PUBLISH,
                    format!("{name} offers a{number}, which is not saved"),
                )?;
            }
            if let Some(token) = state.in_hand {
                let saves = match &step {
                    Step::Commit { tokens, .. } => server::number(tokens) == Some(token),
                    Step::Rest(_) => kept,
                    _ => false,
                };
                if !saves {
                    broken(
                        COMMIT_BEFORE_PUBLISH,
                        format!("{name} lives and has lost r{token}, which is not saved"),
                    )?;
                }
            }
        }
        Ok(())
    }
}

/// The claim's name in a trace.
pub(crate) fn claim_name(id: Id) -> String {
    format!("#{}.{}", (id.0 >> 64) & 0xff, id.0 & 0xff)
}
