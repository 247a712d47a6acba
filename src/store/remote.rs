//! The verbs over a server that many machines share.
//!
//! A verb reads the record with its version and the server's clock, decides here, and writes only if the version is
//! still the one it has read: no lock is held while nobody knows whether this process lives. Who loses the race
//! decides again. A connection that breaks is made anew within the verb's deadline; a write whose answer was lost may
//! have happened, and then the same id finds it there.

mod connect;

use std::{
    fmt,
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

pub use self::connect::Tls;
pub(super) use self::connect::{CONNECT_TIMEOUT, MakeTls, connect};
use super::{
    Hint, Key, Pending, StoreError, document,
    keys::{Keys, SealFault},
    ledger::{Change, Ruling, StoreNow},
    random, random_id,
    transact::Transact,
};
use crate::{
    credential::{record::Record, token::Position},
    log,
};

/// How long a verb may take, connections and lost races included: shorter than the manager's patience, so that the
/// words are the store's own.
const DEADLINE: Duration = Duration::from_secs(8);

/// Between two tries of a server that can't be reached.
const PAUSE: Duration = Duration::from_millis(200);

/// The note with the key of subjects.
const SUBJECTS: &str = "subjects";

/// A row and what makes it this one: each write has a version of its own, which no other write has.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) version: String,
    pub(super) position: Position,
    /// The record, sealed.
    pub(super) content: String,
}

/// A row and the moment it was read.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) row: Option<Row>,
    /// Milliseconds on the server's clock, not later than the reading.
    pub(super) now: u64,
}

/// What went wrong, in words for an operator that hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What, and what helps.
    pub(super) reason: String,
    /// Whether it may pass within a verb: the connection broke, or there was none.
    pub(super) passing: bool,
    /// Whether it may mend while bearerd runs, so that its start needn't be refused.
    pub(super) mends: bool,
}

impl Fault {
    pub(super) fn lasting(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            passing: false,
            mends: false,
        }
    }

    /// The server is there, and can't do it just now.
    pub(super) fn standing(reason: impl Into<String>) -> Self {
        Self {
            mends: true,
            ..Self::lasting(reason)
        }
    }

    pub(super) fn passing(reason: impl Into<String>) -> Self {
        Self {
            passing: true,
            ..Self::standing(reason)
        }
    }
}

/// What a server has to do: a few commands, each atomic and durable on return.
pub(super) trait Server: fmt::Debug + Send + Sync + 'static {
    /// The store's name in errors.
    const STORE: &'static str;

    /// Reads a row and the clock.
    fn read(&self, key: &str) -> impl Future<Output = Result<Snapshot, Fault>> + Send;

    /// Writes `row`, or removes it, if the version there is still `seen` (`None`: there is no row). Whether it was.
    fn swap(
        &self,
        key: &str,
        seen: Option<&str>,
        row: Option<&Row>,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// Reads a note: what there is one of.
    fn note(&self, name: &str) -> impl Future<Output = Result<Option<String>, Fault>> + Send;

    /// Writes a note if what is there is still `seen`. Whether it was.
    fn swap_note(
        &self,
        name: &str,
        seen: Option<&str>,
        value: &str,
    ) -> impl Future<Output = Result<bool, Fault>> + Send;

    /// The keys of all rows, and of each whether its content begins with `prefix`.
    fn keys(&self, prefix: &str) -> impl Future<Output = Result<Vec<(String, bool)>, Fault>> + Send;

    /// Gives the connection up: it did not answer in time.
    fn hang_up(&self) -> impl Future<Output = ()> + Send;

    /// Lets other processes know that tokens of this record were saved, or that its claim has ended. Waits for nothing.
    fn tell(&self, _key: &str) {}

    /// Ends when another process may have let this one know; never, for a server that can't tell.
    fn changed(&self, _key: &str) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// What removes a damaged record, in words.
    fn mend(&self, key: &Key) -> String;
}

/// A store on a server.
#[derive(Debug)]
pub(super) struct Remote<S> {
    server: S,
    keys: Keys,
    /// Whether everything was sealed again with the first key since this process began.
    settled: AtomicBool,
}

impl<S: Server> Remote<S> {
    /// Takes up the server. One that can't be used now is taken up all the same: verbs fail until it can.
    pub(super) async fn open(server: S, keys: Keys) -> Result<Self, StoreError> {
        let remote = Self {
            server,
            keys,
            settled: AtomicBool::new(false),
        };
        let settled = tokio::time::timeout(DEADLINE, remote.settle()).await;
        match settled {
            Ok(Ok(())) => {}
            Ok(Err(fault)) if !fault.mends => return Err(remote.error("be opened", fault.reason)),
            unreachable => {
                let why = match unreachable {
                    Ok(Err(fault)) => fault.reason,
                    _ => silence(),
                };
                tracing::warn!(target: log::TOKEN, store = S::STORE, "the store can't be used yet: {why}");
            }
        }
        Ok(remote)
    }

    fn error(&self, verb: &'static str, reason: String) -> StoreError {
        StoreError {
            store: S::STORE,
            verb,
            reason,
        }
    }

    /// Runs `attempt` until it succeeds, fails for good, or the deadline is over.
    async fn within<A, F>(&self, verb: &'static str, attempt: impl Fn() -> F + Send) -> Result<A, StoreError>
    where
        F: Future<Output = Result<A, Fault>> + Send,
        A: Send,
    {
        let mut last = None;
        let tries = async {
            loop {
                if !self.settled.load(Ordering::Relaxed)
                    && let Err(fault) = self.settle().await
                {
                    if !fault.mends {
                        return Err(fault);
                    }
                    if fault.passing {
                        last = Some(fault.reason);
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                    // What can't be written can perhaps be read.
                }
                match attempt().await {
                    Err(fault) if fault.passing => last = Some(fault.reason),
                    settled => return settled,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        match tokio::time::timeout(DEADLINE, tries).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(fault)) => Err(self.error(verb, fault.reason)),
            Err(_) => {
                self.server.hang_up().await;
                Err(self.error(verb, last.unwrap_or_else(silence)))
            }
        }
    }

    async fn record(&self, key: &Key) -> Result<(Option<Record>, Snapshot), Fault> {
        let snapshot = self.server.read(key.as_str()).await?;
        let record = snapshot.row.as_ref().map(|row| self.opened(key, row)).transpose()?;
        Ok((record, snapshot))
    }

    fn opened(&self, key: &Key, row: &Row) -> Result<Record, Fault> {
        document::read(&self.keys, key, row.position, &row.content).map_err(|fault| {
            let words = format!("the record {} {fault}", key.as_str());
            Fault::lasting(match fault {
                SealFault::Damaged => format!("{words}; restore it, or {} and sign in again", self.server.mend(key)),
                _ => words,
            })
        })
    }

    fn row(&self, key: &Key, record: &Record) -> Result<Row, Fault> {
        let content = document::write(&self.keys, key, record);
        Ok(Row {
            version: random_id().map_err(|error| Fault::lasting(error.reason))?.into(),
            position: record.position,
            content: content.map_err(|fault| Fault::lasting(format!("the record {} {fault}", key.as_str())))?,
        })
    }

    /// Seals again what isn't sealed with the first key, once. What no key opens stays as it is.
    async fn settle(&self) -> Result<(), Fault> {
        for (key, is_current) in self.server.keys(&self.keys.prefix()).await? {
            if is_current {
                continue;
            }
            let key = Key::from_text(&key);
            let snapshot = match self.server.read(key.as_str()).await {
                Err(fault) if fault.passing => return Err(fault),
                snapshot => snapshot,
            };
            // What can't be read is told when it is asked for: one bad record breaks one credential.
            if let Ok(Snapshot { row: Some(seen), .. }) = snapshot
                && let Ok(record) = self.opened(&key, &seen)
            {
                // Somebody else's write in between was sealed by somebody else: with the first key, if with any sense.
                self.server
                    .swap(key.as_str(), Some(&seen.version), Some(&self.row(&key, &record)?))
                    .await?;
            }
        }
        self.settled.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn adopt(&self, secret: &[u8; 32]) -> Result<(), Fault> {
        let text = document::write_secret(&self.keys, secret).map_err(told)?;
        loop {
            let seen = self.server.note(SUBJECTS).await?;
            if self.server.swap_note(SUBJECTS, seen.as_deref(), &text).await? {
                return Ok(());
            }
        }
    }

    async fn secret(&self) -> Result<[u8; 32], Fault> {
        loop {
            let seen = self.server.note(SUBJECTS).await?;
            let (secret, is_current) = match &seen {
                Some(text) => (
                    document::read_secret(&self.keys, text).map_err(told)?,
                    self.keys.is_current(text),
                ),
                None => (random().map_err(|error| Fault::lasting(error.reason))?, false),
            };
            if is_current {
                return Ok(secret);
            }
            let text = document::write_secret(&self.keys, &secret).map_err(told)?;
            if self.server.swap_note(SUBJECTS, seen.as_deref(), &text).await? {
                return Ok(secret);
            }
        }
    }
}

/// Whether others may wait for this: other tokens, or the end of a claim.
fn is_news(before: Option<&Record>, change: &Change) -> bool {
    match (before, change) {
        (Some(before), Change::Put(after)) => {
            before.position != after.position || (before.claim.is_some() && after.claim.is_none())
        }
        (None, Change::Put(after)) => after.claim.is_none(),
        (_, Change::Keep | Change::Remove) => false,
    }
}

fn told(fault: SealFault) -> Fault {
    Fault::lasting(format!("the key of subjects {fault}"))
}

fn silence() -> String {
    format!(
        "it did not answer within {} s; see that the server named under `state` runs and can be reached from here",
        DEADLINE.as_secs()
    )
}

impl<S: Server> Transact for Remote<S> {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        Box::pin(self.within("load a record", async || Ok(self.record(key).await?.0)))
    }

    fn transact<'a, A: Send + 'static>(
        &'a self,
        key: &'a Key,
        verb: &'static str,
        rule: impl Fn(Option<&Record>, StoreNow) -> Ruling<A> + Send + Sync + 'static,
    ) -> Pending<'a, A> {
        Box::pin(async move {
            let rule = &rule;
            self.within(verb, async || {
                loop {
                    let (record, snapshot) = self.record(key).await?;
                    let now = StoreNow {
                        ms: snapshot.now,
                        epoch: 0,
                    };
                    let Ruling { change, answer } = rule(record.as_ref(), now);
                    let is_news = is_news(record.as_ref(), &change);
                    let row = match change {
                        Change::Keep => return Ok(answer),
                        Change::Put(record) => Some(self.row(key, &record)?),
                        Change::Remove => None,
                    };
                    let seen = snapshot.row.as_ref().map(|row| row.version.as_str());
                    if self.server.swap(key.as_str(), seen, row.as_ref()).await? {
                        if is_news {
                            self.server.tell(key.as_str());
                        }
                        return Ok(answer);
                    }
                }
            })
            .await
        })
    }

    fn changed<'a>(&'a self, key: &'a Key) -> Hint<'a> {
        Box::pin(self.server.changed(key.as_str()))
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        Box::pin(self.within("read the key of its subjects", async || self.secret().await))
    }

    fn keys(&self) -> Pending<'_, Vec<Key>> {
        Box::pin(self.within("list its records", async || {
            let keys = self.server.keys("").await?;
            Ok(keys.iter().map(|(key, _)| Key::from_text(key)).collect())
        }))
    }

    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()> {
        Box::pin(self.within("take over the key of subjects", async || self.adopt(secret).await))
    }

    fn is_durable(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
