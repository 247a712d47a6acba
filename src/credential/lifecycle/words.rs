//! What the machine says and is told: steps, events, notes.

use std::sync::Arc;

use super::Ending;
use crate::{
    clock::Deadline,
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, Lineage, MarkedDead, Record, SeedHash, Seeded,
        },
        reply::{Lost, Outcome, Refusal},
        token::{Position, Tokens},
    },
};

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
    /// Refreshes are refused for reasons that are not known, and a new chain may be the way out.
    Refused,
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
            Self::Refused => "refused",
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
        /// What is known of their chain.
        lineage: Box<Lineage>,
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
    /// The API rejected the access token of this position in a request that another one's rejection had sent again.
    RejectedAgain(Position),
    /// The API accepted the access token of this position.
    Accepted(Position),
    /// An operator asks for a renewal now.
    Forced,
    /// Another process may have changed the record: a hint, where [`Lifecycle::waits_for_others`].
    ///
    /// [`Lifecycle::waits_for_others`]: super::Lifecycle::waits_for_others
    Changed,
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
    /// The grant ends then, and a person has to sign in again.
    Ending(Deadline, Ending),
}
