//! What is explored: which grants there are, how it begins, and how much may go wrong.

use std::{fmt, sync::Arc, time::Duration};

use bearerd::{
    clock::Now,
    credential::{
        lifecycle::Rules,
        record::{Id, SeedHash},
        spec::{Fingerprint, OnDoubt, Policy},
        token::Tokens,
    },
};

/// The model's start on the wall clock and on the boot clock: far apart, so that a time can be told from a count.
pub(crate) const WALL: u64 = 1 << 50;
pub(crate) const BOOT: u64 = 1 << 51;

/// Of an access token. Short, so that one is renewed half of it before its expiry, and a held claim renews its lease
/// once at the most.
pub(crate) const LIFETIME: Duration = Duration::from_secs(100);
pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const SPEND_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub name: &'static str,
    pub processes: usize,
    pub can_sign_in: bool,
    pub on_doubt: Option<OnDoubt>,
    pub grace: Option<Duration>,
    pub begin: Begin,
    pub left: Budget,
    /// How many tokens the server may issue before a history is followed no further.
    pub issues: usize,
    /// Whether the way back to a token is walked from each state.
    pub recovers: bool,
    /// What was taken out of the protocol.
    pub planted: Option<Planted>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// The store is empty.
    Nothing,
    /// A process that is gone signed in a moment ago.
    SignedIn,
    /// A person signed in a moment ago.
    ByHand,
    /// The store is empty, and the processes' configs have these refresh tokens.
    Seeds(&'static [usize]),
}

/// How much may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Budget {
    /// Lost replies and acknowledgements, requests that arrive late or never leave, refusals (429), store down.
    pub faults: u8,
    pub crashes: u8,
    /// Access tokens that the API rejects.
    pub rejections: u8,
    /// Sign-ins by hand.
    pub logins: u8,
    /// Grants that the provider ends for reasons of its own.
    pub revocations: u8,
    /// How often the clock moves on to the next deadline.
    pub jumps: u8,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (self.faults, "faults"),
            (self.crashes, "crashes"),
            (self.rejections, "rejections"),
            (self.logins, "logins"),
            (self.revocations, "revocations"),
            (self.jumps, "jumps of the clock"),
        ];
        let some = parts.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> = some.map(|(count, what)| format!("{count} {what}")).collect();
        f.write_str(&words.join(", "))
    }
}

impl Budget {
    /// Whether everything that may happen with `other` left may happen with this left.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.faults >= other.faults
            && self.crashes >= other.crashes
            && self.rejections >= other.rejections
            && self.logins >= other.logins
            && self.revocations >= other.revocations
            && self.jumps >= other.jumps
    }
}

/// A clause of the protocol that the model leaves out, around the real code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Planted {
    NoClaim,
    NoGenerationCheck,
    NoCheckBeforeSend,
    ReleaseForgetsDoubt,
    DeadWhateverStands,
    ReplaceVoidsNothing,
    PublishBeforeCommit,
}

impl Setup {
    pub(crate) fn rules(&self, process: usize, incarnation: u32) -> Arc<Rules> {
        Arc::new(Rules {
            policy: Policy {
                on_doubt: self.on_doubt,
                grace: self.grace,
                keep_alive: true,
                spend_deadline: SPEND_DEADLINE,
                lease: LEASE,
                ..Policy::default()
            },
            can_refresh: true,
            can_sign_in: self.can_sign_in,
            fingerprint: fingerprint(),
            seed: self
                .seed(process)
                .map(|seed| (seed_hash(seed), Arc::new(seed_tokens(seed)))),
            first_id: Id(u128::from(incarnation) << 64),
            chance: 0,
        })
    }

    pub(crate) fn seed(&self, process: usize) -> Option<usize> {
        match self.begin {
            Begin::Seeds(seeds) => Some(seeds[process]),
            Begin::Nothing | Begin::SignedIn | Begin::ByHand => None,
        }
    }
}

pub(crate) fn at(ms: u64) -> Now {
    Now {
        wall: WALL + ms,
        boot: BOOT + ms,
        boot_id: 1,
    }
}

pub(crate) fn millis(span: Duration) -> u64 {
    span.as_millis() as u64
}

pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprint::of(["model"])
}

pub(crate) fn token_text(number: usize) -> String {
    format!("token-{number:04}")
}

pub(crate) fn token_number(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"token-")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

pub(crate) fn seed_hash(seed: usize) -> SeedHash {
    SeedHash::of(&token_text(seed))
}

pub(crate) fn seed_tokens(seed: usize) -> Tokens {
    Tokens {
        refresh: Some(token_text(seed).into()),
        obtained: WALL,
        ..Tokens::default()
    }
}
