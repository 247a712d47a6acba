//! What goes wrong with the file, in words that say what to do.

use std::{io, path::PathBuf};

use rusqlite::{ErrorCode, ffi};

use crate::store::{Key, StoreError, keys::SealFault};

/// The store's name in errors.
pub(super) const STORE: &str = "sqlite";

/// What helps a file that isn't whole.
const MEND: &str = "restore the file from a backup, or move it away and sign in again";

/// What went wrong, before it is known to whom it is told.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite failed.
    Sqlite(rusqlite::Error),
    /// The system failed.
    System(io::Error),
    /// Others than its owner may read or write the file.
    Exposed { mode: u32 },
    /// The path is of something else than a file.
    NotAFile,
    /// The file was there and is not: its disk may be unmounted.
    Missing,
    /// Another file is where it was.
    Another,
    /// The directory can't be made.
    Directory { path: PathBuf, error: io::Error },
    /// The file is on another machine.
    Network(&'static str),
    /// The file system insists on another journal.
    JournalMode(String),
    /// It is a database, but of another program.
    Foreign,
    /// It was written by a later version.
    Newer { found: i64, known: i64 },
    /// A record that no key opens, or that isn't what was written.
    Sealed { key: String, fault: SealFault },
    /// The same of the key of subjects.
    Secret(SealFault),
    /// Records are gone that nobody removed.
    Lost,
    /// Its pages don't fit together.
    Damaged,
    /// A row that this version can't read.
    Row { column: &'static str },
    /// A number that doesn't fit into a column.
    TooLarge { column: &'static str },
    /// No random bytes.
    Random(StoreError),
    /// The thread has ended.
    Gone,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Fault {
    pub(super) fn sealed(key: &Key, fault: SealFault) -> Self {
        Self::Sealed {
            key: key.as_str().into(),
            fault,
        }
    }

    /// Whether it may mend while bearerd runs, so that its start needn't be refused: tokens that are held or can still
    /// be read are of use meanwhile. A file that was set up wrongly won't mend by itself.
    pub(super) fn may_mend(&self) -> bool {
        match self {
            Self::Sqlite(rusqlite::Error::SqliteFailure(failure, _)) => match failure.code {
                ErrorCode::ReadOnly => failure.extended_code != ffi::SQLITE_READONLY_DBMOVED,
                ErrorCode::DiskFull
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory => true,
                _ => false,
            },
            Self::System(error) | Self::Directory { error, .. } => matches!(
                error.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::ReadOnlyFilesystem
            ),
            Self::Missing | Self::Another => true,
            _ => false,
        }
    }

    /// Whether the disk failed under the handle.
    pub(super) fn is_of_the_disk(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure))
    }

    /// For an operator: what the store was to do with the file at `path`, and what helps.
    pub(super) fn tell(self, verb: &'static str, path: &str) -> StoreError {
        let reason = match self {
            Self::Sqlite(error) => of_sqlite(&error, path),
            Self::System(error) => of_system(&error, path),
            Self::Exposed { mode } => {
                format!("{path} holds tokens, and others than its owner may use it (mode {mode:04o}); chmod 600 {path}")
            }
            Self::NotAFile => format!("{path} is not a file; let state.path name one"),
            Self::Missing => format!(
                "{path} was there and is gone, so none is made in its place; mount its disk again or put the file back; \
                 if it is gone for good, restart bearerd and sign in again"
            ),
            Self::Another => format!(
                "{path} is not the file that it was when bearerd started; put that one back, or restart bearerd to use \
                 this one"
            ),
            Self::Directory { path: directory, error } => format!(
                "the directory {} can't be made ({error}); make it, owned by bearerd's user with mode 0700, \
                 or let state.path name a file elsewhere",
                directory.display()
            ),
            Self::Network(kind) => format!(
                "{path} is on {kind}, whose locks can't be relied on; let state.path name a file on a local disk, \
                 or use a store that is made to be shared"
            ),
            Self::JournalMode(mode) => format!(
                "{path} stays in journal mode {mode}; end the other programs that have it open, and start again"
            ),
            Self::Foreign => {
                format!("{path} is the database of another program; let state.path name a file of bearerd's own")
            }
            Self::Newer { found, known } => format!(
                "{path} was written by a later bearerd (schema {found}; this one knows {known}); run that one, \
                 or let state.path name another file"
            ),
            Self::Sealed {
                key,
                fault: fault @ SealFault::Damaged,
            } => format!("the record {key} in {path} {fault}; {MEND}"),
            Self::Sealed { key, fault } => format!("the record {key} in {path} {fault}"),
            Self::Secret(fault @ SealFault::Damaged) => format!("the key of subjects in {path} {fault}; {MEND}"),
            Self::Secret(fault) => format!("the key of subjects in {path} {fault}"),
            Self::Lost => format!("{path} is damaged: it holds other records than were written; {MEND}"),
            Self::Damaged => format!("{path} is damaged: its pages don't fit together; {MEND}"),
            Self::Row { column } => format!("the column {column} of a record in {path} can't be read; {MEND}"),
            Self::TooLarge { column } => format!("a number is too large for the column {column} of {path}"),
            Self::Random(error) => error.reason,
            Self::Gone => format!("the thread that writes {path} has ended; restart bearerd"),
        };
        StoreError {
            store: STORE,
            verb,
            reason,
        }
    }
}

/// SQLite's own messages can quote statements, so only its codes are told.
fn of_sqlite(error: &rusqlite::Error, path: &str) -> String {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return format!("{path} doesn't hold what it should; {MEND}");
    };
    let code = failure.extended_code;
    match failure.code {
        // SQLite looks before each write; without that, what is acknowledged would go with the file's last handle.
        ErrorCode::ReadOnly if code == ffi::SQLITE_READONLY_DBMOVED => {
            format!("{path} was moved or deleted while it was in use; put it back, or restart bearerd")
        }
        ErrorCode::DiskFull => format!("no space is left for {path}; free some, saving is tried again"),
        ErrorCode::ReadOnly => format!(
            "{path} can't be written; its file, its directory and the file system must be writable by bearerd's user"
        ),
        ErrorCode::PermissionDenied | ErrorCode::CannotOpen => format!(
            "{path} can't be opened; the file and its directory must belong to bearerd's user (chmod 600 {path})"
        ),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            format!("{path} is locked by another process; end whatever holds it open (a backup, an sqlite3 shell)")
        }
        ErrorCode::DatabaseCorrupt => format!("{path} is damaged; {MEND}"),
        ErrorCode::NotADatabase => {
            format!("{path} is not an SQLite database; let state.path name another file, or move this one away")
        }
        ErrorCode::SystemIoFailure => {
            format!("{path} can't be read or written (SQLite code {code}); look at the disk and at the system's log")
        }
        _ => format!("SQLite failed with code {code} on {path}; see https://sqlite.org/rescode.html"),
    }
}

fn of_system(error: &io::Error, path: &str) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{path} may not be used ({error}); the file and its directory must belong to bearerd's user")
        }
        io::ErrorKind::StorageFull => format!("no space is left for {path}; free some"),
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{path} is on a read-only file system; let state.path name a file on a writable one")
        }
        _ => format!("{path} can't be used: {error}"),
    }
}
