//! The store in an SQLite file. Processes of one host may share it.
//!
//! One thread of its own runs all the verbs of a handle, so that a slow disk holds up no request. Each verb is one
//! immediate transaction: SQLite's lock on the file makes it atomic among processes, and a rollback undoes whatever
//! did not reach its end.

mod fault;
mod file;
mod first;
mod opened;
mod row;
mod schema;

use std::{fmt, path::Path, sync::mpsc, thread, time::Duration};

use rusqlite::TransactionBehavior;
use tokio::sync::oneshot;

use self::{
    fault::Fault,
    opened::{Opened, Place},
};
use super::{
    Key, Pending, StoreError,
    keys::Keys,
    ledger::{Change, Ruling, StoreNow},
    transact::Transact,
};
use crate::{clock::Clock, credential::record::Record, log};

/// Between two looks at a lock that another process has. SQLite's own waits grow to 100 ms (`sqliteDefaultBusyCallback`),
/// so that whoever has waited longest is the least likely to be next.
const BUSY_STEP: Duration = Duration::from_millis(5);

/// How often a verb looks: about five seconds in all. Other processes' verbs take milliseconds, and a verb after a
/// spend can be tried again within the deadline of one token request.
const BUSY_STEPS: i32 = 1_000;

/// Whether a verb that has found the lock taken `tries` times looks again.
fn patience(tries: i32) -> bool {
    thread::sleep(BUSY_STEP);
    tries < BUSY_STEPS
}

/// What the thread runs with its file.
type Job = Box<dyn FnOnce(&mut Place) + Send>;

/// A handle on the file.
pub(super) struct Sqlite {
    clock: Clock,
    keys: Keys,
    path: String,
    jobs: mpsc::Sender<Job>,
}

impl Sqlite {
    /// Opens the file, and makes it where there is none. One that can't be used just now is taken up all the same:
    /// verbs fail until it can.
    pub(super) fn open(path: &Path, keys: Keys, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(path, keys, clock, patience)
    }

    fn open_with(path: &Path, keys: Keys, clock: Clock, patience: fn(i32) -> bool) -> Result<Self, StoreError> {
        const VERB: &str = "open its file";
        let name = path.display().to_string();
        let mut place = Place::new(path.into(), keys.clone(), patience);
        match place.opened() {
            Ok(_) => {}
            Err(fault) if fault.may_mend() => {
                let why = fault.tell(VERB, &name).reason;
                tracing::warn!(target: log::TOKEN, store = fault::STORE, "the store can't be used yet: {why}");
            }
            Err(fault) => return Err(fault.tell(VERB, &name)),
        }
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || run(place, &queue))
            .map_err(|error| Fault::from(error).tell("start its thread", &name))?;
        Ok(Self {
            clock,
            keys,
            path: name,
            jobs,
        })
    }

    /// Has the thread do `work`. A caller that leaves before its turn has come leaves nothing behind; one that leaves
    /// later misses the answer only.
    fn run<A: Send + 'static>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&mut Opened) -> Result<A, Fault> + Send + 'static,
    ) -> Pending<'_, A> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |place| {
                if !answer.is_closed() {
                    // Nobody waits for the answer any more: what it tells is in the file.
                    let _ = answer.send(place.run(work));
                }
            });
            let gone = || Fault::Gone.tell(verb, &self.path);
            self.jobs.send(job).map_err(|_| gone())?;
            answered
                .await
                .map_err(|_| gone())?
                .map_err(|fault| fault.tell(verb, &self.path))
        })
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Transact for Sqlite {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        let (key, keys) = (key.clone(), self.keys.clone());
        self.run("load a record", move |opened| {
            // One view of the file: an absent record is compared with what else is there.
            let transaction = opened.connection.transaction()?;
            row::read(&transaction, &keys, &key, opened.complete)
        })
    }

    fn transact<'a, A: Send + 'static>(
        &'a self,
        key: &'a Key,
        verb: &'static str,
        rule: impl Fn(Option<&Record>, StoreNow) -> Ruling<A> + Send + Sync + 'static,
    ) -> Pending<'a, A> {
        let (key, keys, clock) = (key.clone(), self.keys.clone(), self.clock.clone());
        self.run(verb, move |opened| {
            opened.settle(&keys)?;
            // Immediate: the record can't change between being read and being written.
            let transaction = opened
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let record = row::read(&transaction, &keys, &key, opened.complete)?;
            // Read after the wait for the file's lock, which may have been longer than a lease has left.
            let now = StoreNow::of_host(clock.now());
            let Ruling { change, answer } = rule(record.as_ref(), now);
            match change {
                Change::Keep => {}
                Change::Put(record) => row::write(&transaction, &keys, &key, &record)?,
                Change::Remove => row::remove(&transaction, &key)?,
            }
            transaction.commit()?;
            Ok(answer)
        })
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        let keys = self.keys.clone();
        self.run("read the key of its subjects", move |opened| {
            row::subject_secret(&opened.connection, &keys)
        })
    }

    fn keys(&self) -> Pending<'_, Vec<Key>> {
        self.run("list its records", |opened| {
            let keys = row::keys(&opened.connection)?;
            Ok(keys.iter().map(|key| Key::from_text(key)).collect())
        })
    }

    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()> {
        let (keys, secret) = (self.keys.clone(), *secret);
        self.run("take over the key of subjects", move |opened| {
            row::write_subject_secret(&opened.connection, &keys, &secret)
        })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// Runs jobs until the handle is dropped.
fn run(mut place: Place, queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job(&mut place);
    }
}

#[cfg(test)]
mod tests;
