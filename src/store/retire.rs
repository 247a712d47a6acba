//! Forgetting subjects that nobody has used for long.
//!
//! Only what comes back by itself is forgotten: chains that a sign-in grant began, of subjects of credentials that have
//! one in this config, with nothing under way. One machine's wrong clock takes nothing from the others: a record must
//! stay unchanged for a day besides, and a server's own clock has a say.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::{Key, Portable, StoreError, ledger};
use crate::{
    clock::{Clock, Deadline, Now},
    log,
    name::CredentialName,
};

/// How often a store is gone through: each record is read.
const INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// Before the first time, so that a start is not slowed.
const FIRST: Duration = Duration::from_secs(10 * 60);
/// For how long a record must have stayed as it is, on the clock that nobody can step: what is in use is renewed
/// meanwhile, whatever the wall clock of this machine says of its age.
const APART: Duration = Duration::from_secs(24 * 60 * 60);

/// Forgets subjects of some credentials.
#[derive(Debug)]
pub struct Retirement {
    credentials: BTreeSet<CredentialName>,
    idle: Duration,
    seen: HashMap<Key, Seen>,
    hasher: RandomState,
}

/// An idle record, as it was when it was seen first.
#[derive(Debug, Clone, Copy)]
struct Seen {
    record: u64,
    since: Now,
}

impl Retirement {
    /// Forgets what has been idle for `idle` of these credentials, which must be able to sign in by themselves. A
    /// store may hold those of other deployments too; they are left alone.
    pub fn new(credentials: impl IntoIterator<Item = CredentialName>, idle: Duration) -> Self {
        Self {
            credentials: credentials.into_iter().collect(),
            idle,
            seen: HashMap::new(),
            hasher: RandomState::new(),
        }
    }

    /// Goes through the store from day to day, for ever.
    pub async fn keep(mut self, store: &dyn Portable, clock: &Clock) {
        let mut wait = FIRST;
        loop {
            clock.sleep_until(Deadline::after(clock.now(), wait)).await;
            wait = INTERVAL;
            match self.sweep(store, clock).await {
                Ok(0) => {}
                Ok(count) => tracing::info!(target: log::TOKEN, count, "idle subjects were forgotten"),
                // Nothing depends on it: the next time will do.
                Err(error) => tracing::warn!(target: log::TOKEN, %error, "idle subjects are not forgotten"),
            }
        }
    }

    /// Goes through the store once, and forgets what is idle and has not changed since it was seen so a day ago or
    /// longer: how many records.
    ///
    /// # Errors
    /// The store can't be gone through. A record that can't be read is told and left alone.
    pub async fn sweep(&mut self, store: &dyn Portable, clock: &Clock) -> Result<usize, StoreError> {
        let now = clock.now();
        let (mut count, mut failures, mut last) = (0, 0, None);
        let mut before = std::mem::take(&mut self.seen);
        for key in store.keys().await? {
            if !self.concerns(&key) {
                continue;
            }
            match self.look(store, &key, before.remove(&key), now).await {
                Ok(true) => count += 1,
                Ok(false) => {}
                Err(error) => {
                    failures += 1;
                    last = Some(error);
                }
            }
        }
        if let Some(error) = last {
            tracing::warn!(target: log::TOKEN, failures, %error, "records of subjects can't be looked through");
        }
        Ok(count)
    }

    fn concerns(&self, key: &Key) -> bool {
        let of_subject = key.credential_of_subject();
        of_subject.is_some_and(|name| self.credentials.iter().any(|known| known.as_str() == name))
    }

    /// Looks at one record; whether it is forgotten.
    async fn look(
        &mut self,
        store: &dyn Portable,
        key: &Key,
        seen: Option<Seen>,
        now: Now,
    ) -> Result<bool, StoreError> {
        // Reading holds nobody up; most are kept.
        let Some(record) = store.load(key).await? else {
            return Ok(false);
        };
        let idle = u64::try_from(self.idle.as_millis()).unwrap_or(u64::MAX);
        if !ledger::is_idle(&record, now.wall.saturating_sub(idle)) {
            return Ok(false);
        }
        let hash = self.hasher.hash_one(&record);
        let seen = seen.filter(|seen| seen.record == hash && seen.since.boot_id == now.boot_id);
        let seen = seen.unwrap_or(Seen {
            record: hash,
            since: now,
        });
        let stayed = Duration::from_millis(now.boot.saturating_sub(seen.since.boot));
        if stayed >= APART && store.retire(key, &record, self.idle).await? {
            return Ok(true);
        }
        self.seen.insert(key.clone(), seen);
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
