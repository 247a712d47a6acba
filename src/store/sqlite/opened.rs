//! The open file: opened when it can be, and anew after what a handle doesn't get over.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::{
    fault::Fault,
    file::{self, Identity},
    row, schema,
};
use crate::store::keys::Keys;

/// Where the file is, and its handle once there is one.
pub(super) struct Place {
    path: PathBuf,
    keys: Keys,
    patience: fn(i32) -> bool,
    opened: Option<Opened>,
    seen: Seen,
}

/// What this process has seen at the path. What was there is never made anew: where the disk is unmounted, an empty
/// store in its place would have every refresh token spent a second time.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Seen {
    /// Which file it was.
    file: Option<Identity>,
    /// Whether its tables were there.
    tables: bool,
}

/// A handle on the file.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Whether all records were there when it was opened.
    pub(super) complete: bool,
    /// Whether everything is sealed with the first key.
    settled: bool,
}

impl Place {
    /// A file that is not open yet. `patience` says whether a verb looks again that has found it locked.
    pub(super) fn new(path: PathBuf, keys: Keys, patience: fn(i32) -> bool) -> Self {
        Self {
            path,
            keys,
            patience,
            opened: None,
            seen: Seen::default(),
        }
    }

    /// The handle, made where there is none.
    pub(super) fn opened(&mut self) -> Result<&mut Opened, Fault> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => Opened::new(&self.path, &self.keys, self.patience, &mut self.seen)?,
        };
        Ok(self.opened.insert(opened))
    }

    /// Does `work` with the handle, and gives it up if the next verb is better off with another.
    pub(super) fn run<A>(&mut self, work: impl FnOnce(&mut Opened) -> Result<A, Fault>) -> Result<A, Fault> {
        let opened = self.opened()?;
        let done = work(opened);
        if let Err(fault) = &done
            && (fault.is_of_the_disk() || opened.is_read_only())
        {
            self.opened = None;
        }
        done
    }
}

impl Opened {
    /// Opens the file, and makes it where none was seen. What is as it should be is only read: it can be used, for
    /// what it holds, where nothing can be written.
    pub(super) fn new(path: &Path, keys: &Keys, patience: fn(i32) -> bool, seen: &mut Seen) -> Result<Self, Fault> {
        let (path, identity) = file::prepare(path, seen.file)?;
        seen.file = Some(identity);
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
        schema::prepare(&mut connection, keys, !seen.tables)?;
        seen.tables = true;
        // One view of the file: the records and their tally.
        let complete = row::is_complete(&*connection.transaction()?)?;
        let mut opened = Self {
            connection,
            complete,
            settled: false,
        };
        match opened.settle(keys) {
            // The next verb that writes tries it again.
            Err(fault) if fault.may_mend() => {}
            settled => settled?,
        }
        Ok(opened)
    }

    /// Seals again what isn't sealed with the first key, once.
    pub(super) fn settle(&mut self, keys: &Keys) -> Result<(), Fault> {
        if !self.settled {
            row::settle(&mut self.connection, keys)?;
            self.settled = true;
        }
        Ok(())
    }

    /// SQLite opens for reading what it can't open for writing, and stays with that.
    fn is_read_only(&self) -> bool {
        self.connection.is_readonly(MAIN_DB).unwrap_or(false)
    }
}
