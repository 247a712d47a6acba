//! What a store keeps of a credential and subject, and what its verbs answer (docs/protocol.md).
//!
//! The verbs' decisions are in the store room; the words are here, because the lifecycle speaks them too.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    spec::Fingerprint,
    token::{Position, Tokens},
};
use crate::clock::Deadline;

/// What a store keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    /// Where its tokens stand; chain 0 has none yet.
    pub position: Position,
    /// Which attempt's reply is saved at this position.
    pub attempt: u32,
    /// How many claims were granted on this position; survives a release.
    pub attempts: u32,
    /// Whether its refresh token is known to be dead.
    pub state: State,
    /// How its chain began.
    pub origin: Origin,
    /// Its tokens.
    pub tokens: Tokens,
    /// What they belong to.
    pub fingerprint: Fingerprint,
    /// Hashes of every seed ever seen.
    pub seeds: Vec<SeedHash>,
    /// The claim that stands, if one does.
    pub claim: Option<Standing>,
    /// The id of the write that saved its tokens: the same id gets the same answer.
    pub saved_by: Option<Id>,
    /// The ids of the latest sign-ins by hand and seedings, newest last. One whose answer was lost is asked again,
    /// perhaps after others have refreshed what it began: it must not begin a second chain with spent tokens.
    pub begun_by: Vec<Id>,
    /// Whether a released claim left a spend in doubt.
    pub doubt: bool,
    /// What its last refusal asks everybody to wait for.
    pub back_off: Option<BackOff>,
}

impl Record {
    /// A record at position 0.0: nobody has signed in yet.
    pub fn new(fingerprint: Fingerprint) -> Self {
        Self {
            position: Position::default(),
            attempt: 0,
            attempts: 0,
            state: State::Live,
            origin: Origin::None,
            tokens: Tokens::default(),
            fingerprint,
            seeds: Vec::new(),
            claim: None,
            saved_by: None,
            begun_by: Vec::new(),
            doubt: false,
            back_off: None,
        }
    }
}

/// Whose tokens they are and how their chain began, as their holder knows it: what is saved with them, and what is left
/// of a record that the store has lost.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lineage {
    /// What they belong to.
    pub fingerprint: Fingerprint,
    /// How the chain began that they go on with.
    pub origin: Origin,
    /// The seeds that are spent: that of the config was tried before anything else.
    pub seeds: Vec<SeedHash>,
}

impl Lineage {
    /// The lineage of a chain that nobody knows the beginning of. One that a person may have begun is treated as one
    /// that a person did begin: it isn't given up for an automatic sign-in.
    pub fn unknown(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            origin: Origin::ByHand,
            seeds: Vec::new(),
        }
    }
}

/// Whether a chain can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As far as anybody knows.
    Live,
    /// Its refresh token was refused: a mark, not a deletion.
    Dead,
}

/// How a chain began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It has not begun.
    None,
    /// A person signed in.
    ByHand,
    /// A sign-in grant.
    SignIn,
    /// A refresh token given in the config.
    Seed,
}

/// A random id of one claim, sign-in by hand or seeding; a restarted process has new ones.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Id(pub u128);

// Written as hexadecimal text: numbers in JSON end at sixty-four bits.
impl From<Id> for String {
    fn from(id: Id) -> Self {
        format!("{:032x}", id.0)
    }
}

impl TryFrom<String> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({:x})", self.0)
    }
}

/// The SHA-256 of a seed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SeedHash(pub [u8; 32]);

impl SeedHash {
    /// The hash of this refresh token.
    pub fn of(seed: &str) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, seed.as_bytes());
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

impl fmt::Debug for SeedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SeedHash(..)")
    }
}

/// What a claim is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Spending the refresh token of the position it is on: saves the next generation.
    Refresh,
    /// A sign-in without a person: saves the first generation of the next chain.
    SignIn,
    /// Saving again what the process holds and the store lost: saves that very position.
    Restore(Position),
}

/// A granted claim, as its holder keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// Its id.
    pub id: Id,
    /// The position it is on.
    pub on: Position,
    /// What for.
    pub kind: Kind,
    /// Counts within the position.
    pub attempt: u32,
    /// Whether an earlier spend on this position is in doubt.
    pub in_doubt: bool,
}

impl Claim {
    /// The position that its tokens are saved at.
    pub fn brings(&self) -> Position {
        match self.kind {
            Kind::Refresh => Position {
                generation: self.on.generation + 1,
                ..self.on
            },
            Kind::SignIn => Position {
                chain: self.on.chain + 1,
                generation: 1,
            },
            Kind::Restore(position) => position,
        }
    }
}

/// A claim that stands in a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// Its id.
    pub id: Id,
    /// The position it is on.
    pub on: Position,
    /// What for.
    pub kind: Kind,
    /// Counts within the position.
    pub attempt: u32,
    /// Whether it was granted in doubt.
    pub in_doubt: bool,
    /// When it may be taken over, on the store's clock.
    pub lease: Lease,
}

/// The end of a lease, on the store's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// Milliseconds on the store's clock.
    pub until: u64,
    /// Which run of that clock: a boot id, or 0 for a clock that is never reset. A lease of another run is over.
    pub epoch: u64,
}

/// A wait that everybody keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackOff {
    /// Until when.
    pub until: Deadline,
    /// How many refusals of this kind came in a row.
    pub failures: u32,
}

/// The answer to `claim`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claimed {
    /// It stands.
    Granted(Claim),
    /// Somebody else's stands, for this much longer.
    Held(Duration),
    /// The record is not at the claim's position (or is dead, for a refresh).
    Moved(Box<Record>),
}

/// The answer to `check`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Checked {
    /// It stands, with at least the time asked for.
    Standing(Duration),
    /// It stands no more, or for too short a time. `None` where there is no record at all.
    Moved(Option<Box<Record>>),
}

/// The answer to `commit`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Committed {
    /// The tokens are saved.
    Saved(Box<Record>),
    /// Newer ones were.
    Superseded(Box<Record>),
}

/// The answer to `mark_dead`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MarkedDead {
    /// The record is marked.
    Dead(Box<Record>),
    /// The claim stood no more.
    Moved(Option<Box<Record>>),
}

/// The answer to `seed`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Seeded {
    /// A never-seen seed: it starts the new chain.
    Replaced(Box<Record>),
    /// It was seen before; this is what stands.
    Seen(Box<Record>),
}
