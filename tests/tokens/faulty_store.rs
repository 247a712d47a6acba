//! A store that fails or hangs where a test wants it to.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bearerd::{
    clock::Clock,
    credential::{
        record::{BackOff, Checked, Claim, Claimed, Committed, Id, Lineage, MarkedDead, Record, SeedHash, Seeded},
        spec::Fingerprint,
        token::Tokens,
    },
    store::{AskClaim, Key, Pending, StoreError, TokenStore},
};

/// Wraps a store.
#[derive(Debug)]
pub(crate) struct Faulty {
    store: Arc<dyn TokenStore>,
    /// Tokens can't be saved.
    pub(crate) commits_fail: AtomicBool,
    /// How often that has happened.
    pub(crate) failed_commits: AtomicUsize,
    /// Saving tokens never ends.
    pub(crate) commits_hang: AtomicBool,
    /// So much of this clock passes before the next answer about a claim arrives.
    pub(crate) late_check: Mutex<Option<(Clock, Duration)>>,
    /// How often it was asked about a claim.
    pub(crate) checks: AtomicUsize,
    /// Nothing can be claimed.
    pub(crate) claims_fail: AtomicBool,
    /// The key of subjects can't be read.
    pub(crate) secrets_fail: AtomicBool,
    /// Reading it never ends.
    pub(crate) secrets_hang: AtomicBool,
    /// How often it was asked for.
    pub(crate) secret_reads: AtomicUsize,
}

impl Faulty {
    /// A store that is good so far.
    pub(crate) fn over(store: Arc<dyn TokenStore>) -> Arc<Self> {
        Arc::new(Self {
            store,
            commits_fail: false.into(),
            failed_commits: 0.into(),
            commits_hang: false.into(),
            late_check: Mutex::default(),
            checks: 0.into(),
            claims_fail: false.into(),
            secrets_fail: false.into(),
            secrets_hang: false.into(),
            secret_reads: 0.into(),
        })
    }
}

/// What a full disk says.
fn full<A>(verb: &'static str) -> Result<A, StoreError> {
    Err(StoreError {
        store: "faulty",
        verb,
        reason: "the disk is full".into(),
    })
}

impl TokenStore for Faulty {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        self.store.load(key)
    }

    fn claim<'a>(&'a self, key: &'a Key, ask: AskClaim) -> Pending<'a, Claimed> {
        match self.claims_fail.load(Ordering::SeqCst) {
            true => Box::pin(async { full("claim") }),
            false => self.store.claim(key, ask),
        }
    }

    fn check<'a>(&'a self, key: &'a Key, claim: &'a Claim, at_least: Duration) -> Pending<'a, Checked> {
        self.checks.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let answer = self.store.check(key, claim, at_least).await;
            if let Some((clock, span)) = self.late_check.lock().unwrap().take() {
                clock.advance(span);
            }
            answer
        })
    }

    fn commit<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        tokens: &'a Tokens,
        lineage: &'a Lineage,
    ) -> Pending<'a, Committed> {
        if self.commits_hang.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        match self.commits_fail.load(Ordering::SeqCst) {
            true => {
                self.failed_commits.fetch_add(1, Ordering::SeqCst);
                Box::pin(async { full("save") })
            }
            false => self.store.commit(key, claim, tokens, lineage),
        }
    }

    fn release<'a>(
        &'a self,
        key: &'a Key,
        claim: &'a Claim,
        back_off: Option<BackOff>,
        in_doubt: bool,
    ) -> Pending<'a, ()> {
        self.store.release(key, claim, back_off, in_doubt)
    }

    fn mark_dead<'a>(&'a self, key: &'a Key, claim: &'a Claim) -> Pending<'a, MarkedDead> {
        self.store.mark_dead(key, claim)
    }

    fn replace<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        tokens: &'a Tokens,
        seeds: &'a [SeedHash],
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Record> {
        self.store.replace(key, id, tokens, seeds, fingerprint)
    }

    fn seed<'a>(
        &'a self,
        key: &'a Key,
        id: Id,
        hash: SeedHash,
        tokens: &'a Tokens,
        fingerprint: &'a Fingerprint,
    ) -> Pending<'a, Seeded> {
        self.store.seed(key, id, hash, tokens, fingerprint)
    }

    fn forget<'a>(&'a self, key: &'a Key) -> Pending<'a, ()> {
        self.store.forget(key)
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        self.secret_reads.fetch_add(1, Ordering::SeqCst);
        if self.secrets_hang.load(Ordering::SeqCst) {
            return Box::pin(std::future::pending());
        }
        match self.secrets_fail.load(Ordering::SeqCst) {
            true => Box::pin(async { full("read the key of its subjects") }),
            false => self.store.subject_secret(),
        }
    }

    fn is_durable(&self) -> bool {
        self.store.is_durable()
    }
}
