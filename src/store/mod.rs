//! Where chains and claims live.
//!
//! Each verb is atomic, durable on return, and idempotent for the same id: a lost acknowledgement is retried
//! safely. A store only has to run the transitions of [`ledger`] atomically on one record.

#[cfg(test)]
mod conformance;
mod copy;
mod document;
mod keys;
pub mod ledger;
mod memory;
pub mod postgres;
pub mod redis;
mod remote;
mod retire;
#[cfg(test)]
#[path = "../../tests/servers/mod.rs"]
mod servers;
mod sqlite;
mod transact;

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

pub use copy::{Copied, copy};
pub use keys::Keys;
pub use remote::Tls;
pub use retire::Retirement;

use crate::{
    clock::Clock,
    credential::{
        record::{
            BackOff, Checked, Claim, Claimed, Committed, Id, Kind, Lineage, MarkedDead, Record, SeedHash, Seeded,
        },
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    name::CredentialName,
};

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this process's memory.
    Memory,
    /// In a file of this host.
    Sqlite(PathBuf),
    /// In a PostgreSQL database.
    Postgres(postgres::Settings),
    /// In a Redis server.
    Redis(redis::Settings),
}

/// Opens a store, whose content is sealed with `keys`. A server that can't be reached yet is no error: the verbs
/// fail until it can. Must be called within a runtime.
///
/// # Errors
/// What won't mend by itself: a file that can't be used, a server that lets nobody in or keeps nothing, a store that
/// another bearerd has written.
pub async fn open(place: Place, keys: Keys, clock: Clock) -> Result<Arc<dyn Portable>, StoreError> {
    Ok(match place {
        Place::Memory => Arc::new(transact::Ledgered(memory::Memory::new(clock))),
        Place::Sqlite(path) => {
            // Opening reads the file, and may wait for another process's lock.
            let opened = tokio::task::spawn_blocking(move || sqlite::Sqlite::open(&path, keys, clock)).await;
            let opened = opened.map_err(|panic| StoreError {
                store: "sqlite",
                verb: "be opened",
                reason: panic.to_string(),
            })?;
            Arc::new(transact::Ledgered(opened?))
        }
        Place::Postgres(settings) => {
            let server = postgres::Postgres::new(settings);
            Arc::new(transact::Ledgered(remote::Remote::open(server, keys).await?))
        }
        Place::Redis(settings) => {
            let server = redis::Redis::new(settings);
            Arc::new(transact::Ledgered(remote::Remote::open(server, keys).await?))
        }
    })
}

/// A store in this process's memory, gone with it: for credentials that can sign in without a person.
pub fn memory(clock: Clock) -> Arc<dyn TokenStore> {
    Arc::new(transact::Ledgered(memory::Memory::new(clock)))
}

/// A store in an SQLite file, which several processes of one host may share, without encryption. Blocks while the file
/// is opened.
pub fn sqlite(path: &Path, clock: Clock) -> Result<Arc<dyn TokenStore>, StoreError> {
    Ok(Arc::new(transact::Ledgered(sqlite::Sqlite::open(
        path,
        Keys::none(),
        clock,
    )?)))
}

/// A fresh id, which no other process has.
pub fn random_id() -> Result<Id, StoreError> {
    Ok(Id(u128::from_ne_bytes(random()?)))
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| StoreError {
        store: "token",
        verb: "make a random number",
        reason: "the system's random source failed; restart bearerd".into(),
    })?;
    Ok(bytes)
}

/// What a verb returns.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A wait that ends with a hint.
pub type Hint<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Where chains and claims live, with the verbs of the spend protocol (docs/protocol.md).
///
/// # Laws
/// - Each verb is atomic and durable on return; one that fails leaves nothing half done.
/// - The same id gets the same answer, however often it asks, and acts once. Where others have changed the record
///   in between, the answer says what is true now (`Held`, `Moved`, `Superseded`), and nothing of theirs is undone.
/// - What is saved never goes back: (chain, generation, attempt) only rises.
/// - Leases run on the store's own clock.
pub trait TokenStore: Send + Sync + fmt::Debug {
    /// The record, as it stands.
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>>;

    /// Notes "I am about to ask for tokens on top of `ask.on`", or says who does or that the record is elsewhere.
    /// A key without a record is at position 0.0. Asking again with a standing id renews its lease.
    fn claim<'a>(&'a self, key: &'a Key, ask: AskClaim) -> Pending<'a, Claimed>;

    /// Whether the claim stands with at least `at_least` of its lease left.
    fn check<'a>(&'a self, key: &'a Key, claim: &'a Claim, at_least: Duration) -> Pending<'a, Checked>;

    /// Saves the tokens that the claim brought, lease over or not, unless newer ones are saved. What the record has
    /// lost of their lineage is saved again.
    fn commit<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        tokens: &'a Tokens,
        lineage: &'a Lineage,
    ) -> Pending<'a, Committed>;

    /// Ends the claim: nothing was sent, or it was refused for a reason that is not the token. `in_doubt` says
    /// whether a spend under this claim is in doubt; a claim granted in doubt leaves doubt either way.
    fn release<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        back_off: Option<BackOff>,
        in_doubt: bool,
    ) -> Pending<'a, ()>;

    /// Marks the chain dead and ends the claim, only while it stands.
    fn mark_dead<'a>(&'a self, key: &'a Key, claim: &'a Claim) -> Pending<'a, MarkedDead>;

    /// A sign-in by hand: a new chain, unconditionally; voids every standing claim and records `seeds` as seen.
    fn replace<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        tokens: &'a Tokens,
        seeds: &'a [SeedHash],
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Record>;

    /// Starts a new chain with a never-seen seed, in one step with recording its hash.
    fn seed<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        hash: SeedHash,
        tokens: &'a Tokens,
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Seeded>;

    /// Removes the record while it is at position 0.0 and nobody's claim stands; does nothing otherwise.
    fn forget<'a>(&'a self, key: &'a Key) -> Pending<'a, ()>;

    /// Ends when another process may have changed the record since the call: a hint that may come for nothing or not
    /// at all, so that whoever waits looks from time to time too. Costs nothing unless somebody waits.
    fn changed<'a>(&'a self, _key: &'a Key) -> Hint<'a> {
        Box::pin(std::future::pending())
    }

    /// The random key that subjects' keys are made with, kept in the store.
    fn subject_secret(&self) -> Pending<'_, [u8; 32]>;

    /// Whether what it acknowledged survives this process.
    fn is_durable(&self) -> bool;
}

/// What going through a store needs besides the verbs: to copy chains to another, to forget what is idle.
pub trait Portable: TokenStore {
    /// The keys of all records.
    fn keys(&self) -> Pending<'_, Vec<Key>>;

    /// Saves a record of another store as it is, unless what is here is newer.
    fn import<'a>(&'a self, key: &'a Key, record: &'a Record) -> Pending<'a, Imported>;

    /// Removes the record if it still is as it was `seen`, idle for so long; whether it was. A store with a clock of
    /// its own looks at that too.
    fn retire<'a>(&'a self, key: &'a Key, seen: &'a Record, idle: Duration) -> Pending<'a, bool>;

    /// Removes the record, as a store that loses one.
    #[cfg(test)]
    fn lose<'a>(&'a self, key: &'a Key) -> Pending<'a, ()>;

    /// Takes over the key that another store's subjects are kept under, in the place of this one's own.
    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()>;
}

/// What became of an imported record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Imported {
    /// It is saved.
    Saved,
    /// The same tokens were here.
    Same,
    /// It is not saved: newer tokens are here.
    Newer(Position),
    /// It is not saved: other tokens are here, at the same position.
    Other(Position),
}

/// A request for a claim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AskClaim {
    /// A fresh random id, or the id of a claim whose lease is to be renewed or whose answer was lost.
    pub id: Id,
    /// The position it is to be on.
    pub on: Position,
    /// What for.
    pub kind: Kind,
    /// For how long it may stand.
    pub lease: Duration,
    /// What a record made by this claim belongs to.
    pub fingerprint: Fingerprint,
}

/// The key of a record: a credential, and the keyed hash of a subject where it has subjects.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of a credential that has exactly one subject.
    pub fn of(credential: &CredentialName) -> Self {
        Self(credential.as_str().into())
    }

    /// The key of one subject: the HMAC-SHA-256 of its length-prefixed parts.
    pub fn of_subject<'a>(
        credential: &CredentialName,
        secret: &[u8; 32],
        parts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        let mut context = aws_lc_rs::hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut text = format!("{credential}/");
        for byte in context.sign().as_ref() {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text.into())
    }

    /// Whether it is of one subject of its credential.
    fn is_of_subject(&self) -> bool {
        self.credential_of_subject().is_some()
    }

    /// The name of the credential that it is of one subject of.
    fn credential_of_subject(&self) -> Option<&str> {
        let (credential, _) = self.0.split_once('/')?;
        Some(credential)
    }

    /// The key that reads so.
    fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

/// What a store can't do, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {store} store could not {verb}: {reason}")]
pub struct StoreError {
    /// Which store.
    pub store: &'static str,
    /// What it was to do.
    pub verb: &'static str,
    /// Why it could not, and what helps; holds no secret.
    pub reason: String,
}
