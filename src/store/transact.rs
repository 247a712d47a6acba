//! The verbs over anything that can change one record atomically: stores differ only in how they do that.

use std::{fmt, time::Duration};

use super::{
    AskClaim, Hint, Imported, Key, Pending, Portable, TokenStore,
    ledger::{self, Ruling, StoreNow},
};
use crate::credential::{
    record::{BackOff, Checked, Claim, Claimed, Committed, Id, Lineage, MarkedDead, Record, SeedHash, Seeded},
    spec::Fingerprint,
    token::Tokens,
};

/// What a store has to do.
pub(super) trait Transact: fmt::Debug + Send + Sync + 'static {
    /// Reads the record.
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>>;

    /// Reads the record and the store's clock, runs `rule` and makes its change durable, all of it or nothing.
    /// `verb` says in errors what it was to do. `rule` may run more than once; only its last answer counts.
    fn transact<'a, A: Send + 'static>(
        &'a self,
        key: &'a Key,
        verb: &'static str,
        rule: impl Fn(Option<&Record>, StoreNow) -> Ruling<A> + Send + Sync + 'static,
    ) -> Pending<'a, A>;

    /// See [`TokenStore::changed`].
    fn changed<'a>(&'a self, _key: &'a Key) -> Hint<'a> {
        Box::pin(std::future::pending())
    }

    /// See [`TokenStore::subject_secret`].
    fn subject_secret(&self) -> Pending<'_, [u8; 32]>;

    /// See [`Portable::keys`].
    fn keys(&self) -> Pending<'_, Vec<Key>>;

    /// See [`Portable::adopt_subject_secret`].
    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()>;

    /// See [`TokenStore::is_durable`].
    fn is_durable(&self) -> bool;
}

/// A store that runs the ledger's transitions.
#[derive(Debug)]
pub(super) struct Ledgered<S>(pub(super) S);

impl<S: Transact> TokenStore for Ledgered<S> {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        self.0.load(key)
    }

    fn claim<'a>(&'a self, key: &'a Key, ask: AskClaim) -> Pending<'a, Claimed> {
        self.0
            .transact(key, "claim", move |record, now| ledger::claim(record, &ask, now))
    }

    fn check<'a>(&'a self, key: &'a Key, claim: &'a Claim, at_least: Duration) -> Pending<'a, Checked> {
        let claim = claim.clone();
        self.0.transact(key, "check a claim", move |record, now| {
            ledger::check(record, &claim, at_least, now)
        })
    }

    fn commit<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        tokens: &'a Tokens,
        lineage: &'a Lineage,
    ) -> Pending<'a, Committed> {
        let (claim, tokens, lineage) = (claim.clone(), tokens.clone(), lineage.clone());
        self.0.transact(key, "save tokens", move |record, _| {
            ledger::commit(record, &claim, &tokens, &lineage)
        })
    }

    fn release<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        back_off: Option<BackOff>,
        in_doubt: bool,
    ) -> Pending<'a, ()> {
        let claim = claim.clone();
        self.0.transact(key, "release a claim", move |record, _| {
            ledger::release(record, &claim, back_off, in_doubt)
        })
    }

    fn mark_dead<'a>(&'a self, key: &'a Key, claim: &'a Claim) -> Pending<'a, MarkedDead> {
        let claim = claim.clone();
        self.0.transact(key, "mark a refused refresh token", move |record, _| {
            ledger::mark_dead(record, &claim)
        })
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        tokens: &'a Tokens,
        seeds: &'a [SeedHash],
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Record> {
        let (tokens, seeds, fingerprint) = (tokens.clone(), seeds.to_vec(), fingerprint.clone());
        self.0.transact(key, "save a sign-in", move |record, _| {
            ledger::replace(record, id, &tokens, &seeds, &fingerprint)
        })
    }

    fn seed<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        hash: SeedHash,
        tokens: &'a Tokens,
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Seeded> {
        let (tokens, fingerprint) = (tokens.clone(), fingerprint.clone());
        self.0.transact(key, "save a seed", move |record, _| {
            ledger::seed(record, id, hash, &tokens, &fingerprint)
        })
    }

    fn forget<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        self.0
            .transact(key, "forget a record", |record, _| ledger::forget(record))
    }

    fn changed<'a>(&'a self, key: &'a Key) -> Hint<'a> {
        self.0.changed(key)
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        self.0.subject_secret()
    }

    fn is_durable(&self) -> bool {
        self.0.is_durable()
    }
}

impl<S: Transact> Portable for Ledgered<S> {
    fn keys(&self) -> Pending<'_, Vec<Key>> {
        self.0.keys()
    }

    fn import<'a>(&'a self, key: &'a Key, record: &'a Record) -> Pending<'a, Imported> {
        let incoming = record.clone();
        self.0.transact(key, "import a record", move |record, _| {
            ledger::import(record, &incoming)
        })
    }

    fn retire<'a>(&'a self, key: &'a Key, seen: &'a Record, idle: Duration) -> Pending<'a, bool> {
        let seen = seen.clone();
        let rule = move |record: Option<&Record>, now| ledger::retire(record, &seen, idle, now);
        self.0.transact(key, "forget an idle record", rule)
    }

    #[cfg(test)]
    fn lose<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        self.0.transact(key, "lose a record", |_, _| Ruling {
            change: ledger::Change::Remove,
            answer: (),
        })
    }

    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()> {
        self.0.adopt_subject_secret(secret)
    }
}
