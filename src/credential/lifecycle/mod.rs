//! The state machine that decides what happens next with one credential and subject.
//!
//! It does no IO and reads no clock. Its owner calls [`Lifecycle::step`] to learn what to do, does it, and tells
//! [`Lifecycle::handle`] what came of it; `now` is passed in, and timers are events. States can be cloned, compared
//! and hashed, so that a model checker can drive the very machine that the program runs.
//!
//! # The calling contract
//! - [`Step`]s that do IO ([`Step::is_io`]) are done once, and answered by the one event that their doc names.
//!   [`Event::Wanted`], [`Event::Rejected`] and the like may come at any time, also while IO is under way; the step
//!   in hand stays in hand until it is answered.
//! - After each event, [`Lifecycle::offer`] says what callers get.
//! - Tokens that a [`Step::Send`] brought are answered with [`Event::Answered`] and come back in [`Step::Commit`];
//!   they are offered once that commit was answered, whatever the answer (law 3).

mod adopt;
mod doubt;
mod end;
mod ending;
mod need;
mod offer;
mod rejection;
mod spend;
mod state;
mod transitions;
mod wait;
mod wish;
mod words;

use std::sync::Arc;

pub use self::end::Ending;
pub use self::offer::{Offer, Trouble};
pub use self::wish::NotNow;
pub use self::words::{Event, Note, Step, StoreFault, Why};

use self::state::{Cooldown, Held, Pause, Phase};
use super::{
    record::{Claim, Id, Kind, Lineage, SeedHash},
    spec::{Fingerprint, Policy},
    token::{Position, Tokens},
};
use crate::clock::{Deadline, Now};

/// What never changes while the machine runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The credential's policy.
    pub policy: Policy,
    /// Whether there is a refresh grant.
    pub can_refresh: bool,
    /// Whether there is a sign-in grant that needs no person.
    pub can_sign_in: bool,
    /// What tokens must belong to, to be used.
    pub fingerprint: Fingerprint,
    /// The refresh token given in the config, by its hash.
    pub seed: Option<(SeedHash, Arc<Tokens>)>,
    /// The first of this process's ids; each claim takes the next.
    pub first_id: Id,
    /// This process's share of chance for jitter, in thousandths.
    pub chance: u16,
}

/// The machine. See the module's contract.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lifecycle {
    rules: Arc<Rules>,
    phase: Phase,
    /// Where the store's record stood when it was last seen: what claims are made on.
    stored: Position,
    held: Option<Held>,
    /// Somebody waits for a token.
    wanted: bool,
    /// The held token was used since it was obtained.
    used: bool,
    /// An operator asked for a renewal.
    forced: bool,
    pause: Option<Pause>,
    cooldown: Option<Cooldown>,
    /// How many renewals rejections have caused, in the window that ends then.
    burst: Option<(u32, Deadline)>,
    /// A person is needed: the store is looked at again then.
    look_again: Option<Deadline>,
    /// What the store was last seen to hold is news until then.
    looked_until: Option<Deadline>,
    /// The store holds tokens of other settings.
    foreign: bool,
    /// The step in hand failed on the store, or is to wait: not before this.
    again: Option<Deadline>,
    /// How often the step in hand has failed on the store.
    store_failures: u32,
    /// Why the store could not be used the last time, until it can.
    store_trouble: Option<String>,
    next_id: Id,
    /// A claim that was asked for and not answered: asked for again with the same id.
    unanswered: Option<(Id, Position, Kind)>,
}

impl Lifecycle {
    /// A machine that knows nothing yet: its first step is to load.
    pub fn new(rules: Arc<Rules>) -> Self {
        let next_id = rules.first_id;
        Self {
            rules,
            phase: Phase::Loading,
            stored: Position::default(),
            held: None,
            wanted: false,
            used: false,
            forced: false,
            pause: None,
            cooldown: None,
            burst: None,
            look_again: None,
            looked_until: None,
            foreign: false,
            again: None,
            store_failures: 0,
            store_trouble: None,
            next_id,
            unanswered: None,
        }
    }

    /// What to do next.
    pub fn step(&self, now: Now) -> Step {
        if let Some(again) = self.again.filter(|again| !again.has_passed(now)) {
            return Step::Rest(Some(again));
        }
        match &self.phase {
            Phase::Loading | Phase::Yielding { .. } | Phase::Reading(..) => Step::Load,
            Phase::Seeding { id } => match &self.rules.seed {
                Some((hash, tokens)) => Step::Seed {
                    id: *id,
                    hash: *hash,
                    tokens: tokens.clone(),
                },
                None => Step::Load,
            },
            Phase::Resting => Step::Rest(self.wake(now)),
            Phase::Connecting(spend) => Step::Connect(spend.kind),
            Phase::Claiming(spend) => match self.unanswered {
                Some((id, on, kind)) => Step::Claim { id, on, kind },
                // A retry's claim stands already: asking with its id renews its lease.
                None => match &spend.claim {
                    Some(claim) => Step::Claim {
                        id: claim.id,
                        on: claim.on,
                        kind: claim.kind,
                    },
                    None => Step::Load,
                },
            },
            Phase::Checking(_, claim) => Step::Check(claim.clone()),
            Phase::Sending(spend, claim, held) => Step::Send {
                claim: claim.clone(),
                why: spend.why,
                held: held.clone(),
            },
            Phase::Committing { claim, tokens, .. } => Step::Commit {
                claim: claim.clone(),
                tokens: tokens.clone(),
                lineage: Box::new(self.lineage(claim)),
            },
            Phase::Releasing {
                claim,
                back_off,
                in_doubt,
                ..
            } => Step::Release {
                claim: claim.clone(),
                back_off: *back_off,
                in_doubt: *in_doubt,
            },
            Phase::MarkingDead { claim } => Step::MarkDead(claim.clone()),
            Phase::Holding { claim, renewing, .. } => {
                if *renewing {
                    Step::Claim {
                        id: claim.id,
                        on: claim.on,
                        kind: claim.kind,
                    }
                } else {
                    Step::Rest(self.wake(now))
                }
            }
        }
    }

    /// What is known of the chain that the claim's tokens go on with.
    fn lineage(&self, claim: &Claim) -> Lineage {
        let unknown = Lineage::unknown(self.rules.fingerprint.clone());
        let held = self.held.as_ref();
        let held = held.filter(|held| held.position.chain == claim.brings().chain);
        Lineage {
            origin: held.map_or(unknown.origin, |held| held.origin),
            seeds: self.rules.seed.iter().map(|(hash, _)| *hash).collect(),
            ..unknown
        }
    }

    /// Whether nothing is under way that must not be cut off: a spend, or tokens that are not saved.
    pub fn is_quiet(&self) -> bool {
        matches!(
            self.phase,
            Phase::Loading | Phase::Seeding { .. } | Phase::Resting | Phase::Yielding { .. } | Phase::Holding { .. }
        )
    }

    /// Whether the process may end now, whatever is under way: no claim is asked for, and nothing was sent.
    pub fn may_end(&self) -> bool {
        self.is_quiet() || matches!(&self.phase, Phase::Connecting(spend) if spend.claim.is_none())
    }

    /// The position of the tokens in use.
    pub fn position(&self) -> Option<Position> {
        self.held.as_ref().map(|held| held.position)
    }

    /// The tokens in use, usable or not.
    pub fn tokens(&self) -> Option<&Arc<Tokens>> {
        self.held.as_ref().map(|held| &held.tokens)
    }

    /// Whether no chain was ever begun, as far as the store and this process know.
    pub fn is_unborn(&self) -> bool {
        self.held.is_none() && self.stored == Position::default()
    }

    /// Whether the tokens in use are not saved.
    pub fn is_unsaved(&self) -> bool {
        self.held.as_ref().is_some_and(|held| !held.saved)
    }

    /// Whether [`Event::Accepted`] would change anything.
    pub fn watches_for_success(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.on_trial)
            || self.cooldown.as_ref().is_some_and(|cooldown| !cooldown.accepted)
    }

    /// How many times in a row tokens were not to be had.
    pub fn failures(&self) -> u32 {
        self.pause.as_ref().map_or(0, |pause| pause.failures)
    }
}
