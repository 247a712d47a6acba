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

mod offer;
#[cfg(test)]
mod tests;
mod transitions;

use std::sync::Arc;

pub use offer::{Offer, Trouble};

use super::{
    record::{BackOff, Checked, Claim, Claimed, Committed, Id, Kind, MarkedDead, Origin, Record, SeedHash, Seeded},
    reply::{Lost, Outcome, Refusal},
    schedule::Severity,
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

/// The tokens in use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    position: Position,
    origin: Origin,
    tokens: Arc<Tokens>,
    /// Its refresh token is known to be dead.
    dead: bool,
    /// Its refresh token was sent, and nobody knows what came of it.
    in_doubt: bool,
    /// The store has it.
    saved: bool,
    /// The API rejected its access token.
    rejected: bool,
    /// It was obtained because of a rejection, and the API has not accepted it yet.
    on_trial: bool,
}

/// A wait after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pause {
    until: Deadline,
    failures: u32,
    severity: Severity,
    trouble: Trouble,
}

/// Rejections pass through until then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Cooldown {
    until: Deadline,
    failures: u32,
    /// The API has accepted a token since: the next cooldown is a first one again.
    accepted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    Loading,
    Seeding {
        id: Id,
    },
    Resting,
    Connecting(Spend),
    Claiming(Spend),
    Checking(Spend, Claim),
    Sending(Spend, Claim),
    Committing {
        spend: Spend,
        claim: Claim,
        tokens: Arc<Tokens>,
    },
    Releasing {
        claim: Claim,
        back_off: Option<BackOff>,
        in_doubt: bool,
        then_sign_in: Option<Why>,
    },
    MarkingDead {
        claim: Claim,
    },
    /// Another process's claim stands, until then at the most.
    Yielding {
        until: Deadline,
    },
    /// In doubt, holding the claim: renewing its lease until the refresh token may be sent again, at that time or
    /// when the old access token is rejected.
    Holding {
        spend: Spend,
        claim: Claim,
        until: Option<Deadline>,
        renew: Deadline,
        renewing: bool,
    },
}

/// A token request in the making.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Spend {
    kind: Kind,
    why: Why,
    /// A claim of this process that stands already: a retry runs under it.
    claim: Option<Claim>,
    /// The refresh token was sent before, by anybody, and nobody knows what came of it.
    in_doubt: bool,
    /// How often it was sent and lost under this claim.
    losses: u32,
}

/// Why tokens are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// None are held.
    None,
    /// The held access token has expired.
    Expired,
    /// It will, soon.
    Expiring,
    /// The API rejected it.
    Rejected,
    /// The grant would die unused.
    KeepAlive,
    /// An operator asked.
    Forced,
    /// A spend is in doubt, and a new chain is the way out.
    InDoubt,
    /// The store lost what this process holds.
    Restore,
}

impl Why {
    /// A fixed word, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none_held",
            Self::Expired => "expired",
            Self::Expiring => "expiring",
            Self::Rejected => "rejected",
            Self::KeepAlive => "keep_alive",
            Self::Forced => "forced",
            Self::InDoubt => "in_doubt",
            Self::Restore => "restore",
        }
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing until then (`None`: until an event); then [`Event::Tick`].
    Rest(Option<Deadline>),
    /// Load the record; [`Event::Loaded`].
    Load,
    /// Start a chain with the config's refresh token, unless it was seen; [`Event::Seeded`].
    Seed {
        /// The write's id.
        id: Id,
        /// The seed's hash.
        hash: SeedHash,
        /// The refresh token, as tokens.
        tokens: Arc<Tokens>,
    },
    /// Connect to the token endpoint and finish TLS; [`Event::Connected`] or [`Event::NeverLeft`].
    Connect(Kind),
    /// Claim; [`Event::Claimed`].
    Claim {
        /// Its id.
        id: Id,
        /// The position it is on.
        on: Position,
        /// What for.
        kind: Kind,
    },
    /// Ask the store whether the claim stands; [`Event::Checked`].
    Check(Claim),
    /// Write the request on the connection that was opened, and read the answer; [`Event::Answered`], or
    /// [`Event::NeverLeft`] if no byte of it can have left.
    Send {
        /// The claim it runs under.
        claim: Claim,
        /// Why.
        why: Why,
        /// What a refresh sends.
        held: Option<Arc<Tokens>>,
    },
    /// Save; [`Event::Committed`].
    Commit {
        /// The claim that the tokens were asked for under.
        claim: Claim,
        /// What to save.
        tokens: Arc<Tokens>,
    },
    /// Release; [`Event::Released`].
    Release {
        /// The claim.
        claim: Claim,
        /// What everybody should wait for.
        back_off: Option<BackOff>,
        /// Whether a spend under it is in doubt.
        in_doubt: bool,
    },
    /// Mark the chain dead; [`Event::MarkedDead`].
    MarkDead(Claim),
}

impl Step {
    /// Whether it is done once and answered; the rest is waiting.
    pub fn is_io(&self) -> bool {
        !matches!(self, Self::Rest(_))
    }
}

/// Why the store could not do a step, in words.
pub type StoreFault = String;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Time went by.
    Tick,
    /// A caller waits for a token.
    Wanted,
    /// The held token was used.
    Used,
    /// The API rejected the access token of this position.
    Rejected(Position),
    /// The API accepted the access token of this position.
    Accepted(Position),
    /// An operator asks for a renewal now.
    Forced,
    /// A person signed in: this is the record now.
    SignedIn(Box<Record>),
    /// Answers [`Step::Load`].
    Loaded(Result<Option<Box<Record>>, StoreFault>),
    /// Answers [`Step::Seed`].
    Seeded(Result<Seeded, StoreFault>),
    /// Answers [`Step::Connect`].
    Connected,
    /// Answers [`Step::Connect`] or [`Step::Send`]: nothing was sent, and why.
    NeverLeft(String),
    /// Answers [`Step::Claim`].
    Claimed(Result<Claimed, StoreFault>),
    /// Answers [`Step::Check`].
    Checked(Result<Checked, StoreFault>),
    /// Answers [`Step::Send`].
    Answered(Outcome),
    /// Answers [`Step::Commit`].
    Committed(Result<Committed, StoreFault>),
    /// Answers [`Step::Release`].
    Released(Result<(), StoreFault>),
    /// Answers [`Step::MarkDead`].
    MarkedDead(Result<MarkedDead, StoreFault>),
}

/// Something worth a log line, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A token request is about to be made.
    Asking(Kind, Why),
    /// New tokens are in use.
    Obtained(Position, Why),
    /// Tokens of another process, or of an earlier run, are in use.
    Adopted(Position),
    /// The request never left.
    NeverLeft(String),
    /// It was refused.
    Refused(Refusal),
    /// Its outcome is unknown.
    InDoubt(Lost),
    /// A claim was taken over whose spend is in doubt.
    TakenOver,
    /// The chain is dead.
    Dead(Position),
    /// New tokens are in use and not saved.
    Unsaved(String),
    /// They are saved now.
    Saved(Position),
    /// The store could not do a step before anything was sent.
    StoreTrouble(String),
    /// Stored tokens belong to other settings and are left alone.
    Foreign(Position),
    /// A fresh token was rejected too: rejections pass through for a while.
    Cooldown,
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
            Phase::Loading | Phase::Yielding { .. } => Step::Load,
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
            Phase::Sending(spend, claim) => Step::Send {
                claim: claim.clone(),
                why: spend.why,
                held: self.held.as_ref().map(|held| held.tokens.clone()),
            },
            Phase::Committing { claim, tokens, .. } => Step::Commit {
                claim: claim.clone(),
                tokens: tokens.clone(),
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

    /// Whether nothing is under way that must not be cut off: a spend, or tokens that are not saved.
    pub fn is_quiet(&self) -> bool {
        matches!(
            self.phase,
            Phase::Loading | Phase::Seeding { .. } | Phase::Resting | Phase::Yielding { .. } | Phase::Holding { .. }
        )
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
