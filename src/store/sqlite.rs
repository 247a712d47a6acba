//! The store in an SQLite file. Processes of one host may share it.
//!
//! One thread of its own runs all the verbs of a handle, so that a slow disk holds up no request. Each verb is one
//! immediate transaction: SQLite's lock on the file makes it atomic among processes, and a rollback undoes whatever
//! did not reach its end.

mod fault;
mod file;
mod first;
mod row;
mod schema;

use std::{fmt, path::Path, sync::mpsc, thread, time::Duration};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::oneshot;

use self::fault::Fault;
use super::{
    Key, Pending, StoreError,
    keys::Keys,
    ledger::{Change, Ruling, StoreNow},
    transact::Transact,
};
use crate::{clock::Clock, credential::record::Record};

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

/// What the thread runs with its connection.
type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle on the file.
pub(super) struct Sqlite {
    clock: Clock,
    keys: Keys,
    path: String,
    /// Whether all records were there when the file was opened.
    complete: bool,
    jobs: mpsc::Sender<Job>,
}

impl Sqlite {
    /// Opens the file, and makes it where there is none.
    pub(super) fn open(path: &Path, keys: Keys, clock: Clock) -> Result<Self, StoreError> {
        Self::open_with(path, keys, clock, patience)
    }

    fn open_with(path: &Path, keys: Keys, clock: Clock, patience: fn(i32) -> bool) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let open = || {
            let mut connection = connect(path, &keys, patience)?;
            // One view of the file: the records and their tally.
            let complete = row::is_complete(&*connection.transaction()?)?;
            Ok((connection, complete))
        };
        let (connection, complete) = open().map_err(|fault: Fault| fault.tell("open its file", &name))?;
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new()
            .name("sqlite".into())
            .spawn(move || run(connection, &queue))
            .map_err(|error| Fault::from(error).tell("start its thread", &name))?;
        Ok(Self {
            clock,
            keys,
            path: name,
            complete,
            jobs,
        })
    }

    /// Has the thread do `work`. A caller that leaves before its turn has come leaves nothing behind; one that leaves
    /// later misses the answer only.
    fn run<A: Send + 'static>(
        &self,
        verb: &'static str,
        work: impl FnOnce(&mut Connection) -> Result<A, Fault> + Send + 'static,
    ) -> Pending<'_, A> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |connection| {
                if !answer.is_closed() {
                    // Nobody waits for the answer any more: what it tells is in the file.
                    let _ = answer.send(work(connection));
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
        let (key, keys, complete) = (key.clone(), self.keys.clone(), self.complete);
        self.run("load a record", move |connection| {
            // One view of the file: an absent record is compared with what else is there.
            let transaction = connection.transaction()?;
            row::read(&transaction, &keys, &key, complete)
        })
    }

    fn transact<'a, A: Send + 'static>(
        &'a self,
        key: &'a Key,
        verb: &'static str,
        rule: impl Fn(Option<&Record>, StoreNow) -> Ruling<A> + Send + Sync + 'static,
    ) -> Pending<'a, A> {
        let (key, keys, complete, clock) = (key.clone(), self.keys.clone(), self.complete, self.clock.clone());
        self.run(verb, move |connection| {
            // Immediate: the record can't change between being read and being written.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let record = row::read(&transaction, &keys, &key, complete)?;
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
        self.run("read the key of its subjects", move |connection| {
            row::subject_secret(connection, &keys)
        })
    }

    fn keys(&self) -> Pending<'_, Vec<Key>> {
        self.run("list its records", |connection| {
            let keys = row::keys(connection)?;
            Ok(keys.iter().map(|key| Key::from_text(key)).collect())
        })
    }

    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()> {
        let (keys, secret) = (self.keys.clone(), *secret);
        self.run("take over the key of subjects", move |connection| {
            row::write_subject_secret(connection, &keys, &secret)
        })
    }

    fn is_durable(&self) -> bool {
        true
    }
}

/// Runs jobs until the handle is dropped.
fn run(mut connection: Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        job(&mut connection);
    }
}

fn connect(path: &Path, keys: &Keys, patience: fn(i32) -> bool) -> Result<Connection, Fault> {
    let path = file::prepare(path)?;
    // The file is there: SQLite need not make one. One thread uses the connection, so it needs no lock of its own.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(patience))?;
    // A rollback journal, and a sync of its directory too: what was acknowledged survives a loss of power.
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "delete", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("delete") {
        return Err(Fault::JournalMode(mode));
    }
    connection.pragma_update(None, "synchronous", "extra")?;
    // Spent tokens are overwritten with zeros. The pragma answers with its new value.
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    // Nothing of a token goes to temporary files, and a schema that somebody else wrote runs no functions.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    schema::prepare(&mut connection, keys)?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
