//! What the machine keeps.

use std::sync::Arc;

use super::{Trouble, Why};
use crate::{
    clock::Deadline,
    credential::{
        record::{BackOff, Claim, Id, Kind, Origin},
        schedule::Severity,
        token::{Position, Tokens},
    },
};

/// The tokens in use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Held {
    pub(super) position: Position,
    pub(super) origin: Origin,
    /// The sign-ins by hand and the seedings up to its chain: another one is newer.
    pub(super) begun_by: Vec<Id>,
    pub(super) tokens: Arc<Tokens>,
    /// Its refresh token is known to be dead.
    pub(super) dead: bool,
    /// Its refresh token was sent, and nobody knows what came of it.
    pub(super) in_doubt: bool,
    /// How often it was refused for a reason that is not known to be the refresh token.
    pub(super) refusals: u32,
    /// The store has it.
    pub(super) saved: bool,
    /// The API rejected its access token.
    pub(super) rejected: bool,
    /// It was obtained because of a rejection, and the API has not accepted it yet.
    pub(super) on_trial: bool,
    /// Another process, an earlier run or a person obtained it: a rejection of it says nothing of fresh tokens.
    pub(super) adopted: bool,
    /// A renewal has not prolonged its grant: no other will.
    pub(super) fixed: bool,
    /// How often its end was told.
    pub(super) told: usize,
    /// For how many times of telling the store was looked at first: another process may have renewed it.
    pub(super) looked: usize,
}

/// A wait after a failure.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pause {
    pub(super) until: Deadline,
    pub(super) failures: u32,
    pub(super) severity: Severity,
    pub(super) trouble: Trouble,
}

/// Rejections pass through until then.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cooldown {
    pub(super) until: Deadline,
    pub(super) failures: u32,
    /// The API has accepted a token since: the next cooldown is a first one again.
    pub(super) accepted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Loading,
    Seeding {
        id: Id,
    },
    Resting,
    Connecting(Spend),
    Claiming(Spend),
    /// Claimed, and reading what was claimed: a reply of a higher attempt may have replaced the tokens of this very
    /// position since they were adopted, and those that it replaced may have been spent.
    Reading(Spend, Claim),
    Checking(Spend, Claim),
    /// With the tokens that were claimed: a sign-in by hand may change what is held meanwhile.
    Sending(Spend, Claim, Option<Arc<Tokens>>),
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
pub(super) struct Spend {
    pub(super) kind: Kind,
    pub(super) why: Why,
    /// Where the store's record stood when it was begun.
    pub(super) on: Position,
    /// A claim of this process that stands already: a retry runs under it.
    pub(super) claim: Option<Claim>,
    /// The refresh token was sent before, by anybody, and nobody knows what came of it.
    pub(super) in_doubt: bool,
    /// How often it was sent and lost under this claim.
    pub(super) losses: u32,
}
