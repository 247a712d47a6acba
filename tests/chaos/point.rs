//! The crash points: every step of a spend, by name.

use std::fmt;

use bearerd::demo::Misbehaviour;

/// What a credential has besides its refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Setup {
    /// A grant that signs in without a person.
    SignIn,
    /// A provider whose grace is longer than the lease and a restart.
    Grace,
    /// Neither.
    Neither,
}

impl Setup {
    pub(crate) const ALL: [Self; 3] = [Self::SignIn, Self::Grace, Self::Neither];
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::SignIn => "sign-in",
            Self::Grace => "grace",
            Self::Neither => "neither",
        })
    }
}

/// Which side of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Edge {
    Before,
    After,
}

/// A verb of the store, as a spend uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verb {
    /// The record is loaded at the start.
    Load,
    /// A seed of the config begins a chain.
    Seed,
    /// The spend is claimed: the connection stands, TLS is finished.
    Claim,
    /// What was claimed is read.
    Read,
    /// The claim is checked, right before the first byte.
    Check,
    /// The tokens of the answer are saved.
    Commit,
    /// The claim is given back after a refusal that is not about the token.
    Release,
    /// The refresh token was refused.
    MarkDead,
    /// A sign-in that follows is claimed.
    ClaimSignIn,
    /// Its claim is checked, right before the first byte.
    CheckSignIn,
    /// Its tokens are saved.
    CommitSignIn,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Load => "load",
            Self::Seed => "seed",
            Self::Claim => "claim",
            Self::Read => "read",
            Self::Check => "check",
            Self::Commit => "commit",
            Self::Release => "release",
            Self::MarkDead => "mark_dead",
            Self::ClaimSignIn => "claim of a sign-in",
            Self::CheckSignIn => "check of a sign-in",
            Self::CommitSignIn => "commit of a sign-in",
        })
    }
}

/// How far the authorization server has come with the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Served {
    /// It has read the request and done nothing.
    Read,
    /// It has spent the refresh token and said nothing.
    Handled,
    /// It has sent a part of the answer.
    HalfSent,
}

/// Where a process is killed or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Point {
    At(Edge, Verb),
    While(Served),
}

use Edge::{After, Before};

/// All of them, in the order of a spend.
pub(crate) const POINTS: [Point; 25] = [
    Point::At(Before, Verb::Load),
    Point::At(After, Verb::Load),
    Point::At(Before, Verb::Seed),
    Point::At(After, Verb::Seed),
    Point::At(Before, Verb::Claim),
    Point::At(After, Verb::Claim),
    Point::At(Before, Verb::Read),
    Point::At(After, Verb::Read),
    Point::At(Before, Verb::Check),
    Point::At(After, Verb::Check),
    Point::While(Served::Read),
    Point::While(Served::Handled),
    Point::While(Served::HalfSent),
    Point::At(Before, Verb::Commit),
    Point::At(After, Verb::Commit),
    Point::At(Before, Verb::Release),
    Point::At(After, Verb::Release),
    Point::At(Before, Verb::MarkDead),
    Point::At(After, Verb::MarkDead),
    Point::At(Before, Verb::ClaimSignIn),
    Point::At(After, Verb::ClaimSignIn),
    Point::At(Before, Verb::CheckSignIn),
    Point::At(After, Verb::CheckSignIn),
    Point::At(Before, Verb::CommitSignIn),
    Point::At(After, Verb::CommitSignIn),
];

impl Point {
    /// Whether a process passes it when it starts, rather than when a token is needed.
    pub(crate) fn is_at_start(self) -> bool {
        matches!(self, Self::At(_, Verb::Load | Verb::Seed))
    }

    /// Whether this set-up has such a step.
    pub(crate) fn exists_in(self, setup: Setup) -> bool {
        match self {
            Self::At(_, Verb::Seed) => setup != Setup::SignIn,
            Self::At(_, Verb::ClaimSignIn | Verb::CheckSignIn | Verb::CommitSignIn) => setup == Setup::SignIn,
            _ => true,
        }
    }

    /// Whether the provider itself ends the session on the way to it.
    pub(crate) fn ends_session(self) -> bool {
        matches!(
            self,
            Self::At(
                _,
                Verb::MarkDead | Verb::ClaimSignIn | Verb::CheckSignIn | Verb::CommitSignIn
            )
        )
    }

    /// What the token endpoint does on the way to it.
    pub(crate) fn misbehaviour(self) -> Option<Misbehaviour> {
        match self {
            Self::At(_, Verb::Release) => Some(Misbehaviour::RateLimited429),
            Self::At(..) => None,
            Self::While(Served::Read) => Some(Misbehaviour::HangBefore),
            Self::While(Served::Handled) => Some(Misbehaviour::Hang),
            Self::While(Served::HalfSent) => Some(Misbehaviour::Drip),
        }
    }

    /// Whether the server has answered, or is about to, and nothing is saved: the stated residue of a kill.
    pub(crate) fn is_between_answer_and_save(self) -> bool {
        matches!(
            self,
            Self::While(Served::Handled | Served::HalfSent) | Self::At(Before, Verb::Commit)
        )
    }

    /// The point of this name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        POINTS.into_iter().find(|point| point.to_string() == name)
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::At(Before, Verb::Load) => "before load",
            Self::At(After, Verb::Load) => "loaded",
            Self::At(Before, Verb::Seed) => "before seed",
            Self::At(After, Verb::Seed) => "seeded",
            Self::At(Before, Verb::Claim) => "connected, before claim",
            Self::At(After, Verb::Claim) => "claimed",
            Self::At(Before, Verb::Read) => "before reading what was claimed",
            Self::At(After, Verb::Read) => "claimed record read",
            Self::At(Before, Verb::Check) => "before check",
            Self::At(After, Verb::Check) => "checked, before first byte",
            Self::While(Served::Read) => "server read the request",
            Self::While(Served::Handled) => "server handled it",
            Self::While(Served::HalfSent) => "reply half sent",
            Self::At(Before, Verb::Commit) => "reply read, before commit",
            Self::At(After, Verb::Commit) => "committed, not published",
            Self::At(Before, Verb::Release) => "before release (429)",
            Self::At(After, Verb::Release) => "released (429)",
            Self::At(Before, Verb::MarkDead) => "before mark_dead (revoked)",
            Self::At(After, Verb::MarkDead) => "marked dead (revoked)",
            Self::At(Before, Verb::ClaimSignIn) => "sign-in: before claim",
            Self::At(After, Verb::ClaimSignIn) => "sign-in: claimed",
            Self::At(Before, Verb::CheckSignIn) => "sign-in: before check",
            Self::At(After, Verb::CheckSignIn) => "sign-in: checked",
            Self::At(Before, Verb::CommitSignIn) => "sign-in: reply read",
            Self::At(After, Verb::CommitSignIn) => "sign-in: committed",
        })
    }
}
