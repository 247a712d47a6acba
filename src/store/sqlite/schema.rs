//! The tables, their versions, and the way from each version to the next.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{fault::Fault, first, row};
use crate::store::{Key, keys::Keys, random};

/// The version of the tables, kept as the file's `user_version`.
const VERSION: i64 = 2;

/// Marks the file as bearerd's (`application_id` of the file's header): the letters `brrd`.
const APPLICATION: i64 = 0x6272_7264;

/// A record is a row: where it stands, for whoever looks with a tool, and all of it, sealed. A note is what there is
/// one of: the key of subjects, and the tally of records.
const TABLES: &str = "
    CREATE TABLE record (
        key        TEXT    NOT NULL PRIMARY KEY,
        chain      INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        content    TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE note (
        name  TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
";

/// Makes the tables in a new file, brings those of an earlier version to this one, and refuses those of another
/// program or of a later version. All of it happens or nothing does; a file of this version is only read. `may_make`
/// says whether the file may be new: one that had its tables once is damaged without them.
pub(super) fn prepare(connection: &mut Connection, keys: &Keys, may_make: bool) -> Result<(), Fault> {
    if is_current(&connection.transaction()?)? {
        return Ok(());
    }
    // Immediate: of several processes that start at once, one makes the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if is_current(&transaction)? {
        return Ok(());
    }
    match version(&transaction)? {
        0 if !may_make => return Err(Fault::Damaged),
        0 => make(&transaction, keys)?,
        _ => from_first(&transaction, keys)?,
    }
    transaction.commit()?;
    Ok(())
}

/// Whether the file is of this version, and whole. One that is new or of an earlier version isn't.
fn is_current(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    let version = version(transaction)?;
    let application: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables == 0 && version == 0 {
        // SQLite reads what is missing of a page as zeros, so that the head of a file looks like a new one.
        let is_new = ends_with_a_page(transaction)?;
        return if is_new { Ok(false) } else { Err(Fault::Damaged) };
    }
    if application != APPLICATION || version < 1 {
        return Err(Fault::Foreign);
    }
    if version > VERSION {
        return Err(Fault::Newer {
            found: version,
            known: VERSION,
        });
    }
    whole(transaction)?;
    Ok(version == VERSION)
}

/// Whether the file ends where its last page does: it can't change while a transaction reads it.
fn ends_with_a_page(transaction: &Transaction<'_>) -> Result<bool, Fault> {
    let page: u32 = transaction.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let length = match transaction.path() {
        Some(path) => std::fs::metadata(path)?.len(),
        None => 0,
    };
    Ok(length % u64::from(page) == 0)
}

fn version(transaction: &Transaction<'_>) -> Result<i64, Fault> {
    Ok(transaction.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn make(transaction: &Transaction<'_>, keys: &Keys) -> Result<(), Fault> {
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    row::Tally::NONE.keep(transaction)?;
    let secret = random().map_err(Fault::Random)?;
    row::write_subject_secret(transaction, keys, &secret)
}

/// A page that leads nowhere is found here, before anything is written beside it.
fn whole(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let verdict: String = transaction.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { Err(Fault::Damaged) }
}

/// The first version kept a record in nineteen columns, and its tokens plain.
fn from_first(transaction: &Transaction<'_>, keys: &Keys) -> Result<(), Fault> {
    transaction.execute_batch("ALTER TABLE record RENAME TO first_record")?;
    transaction.execute_batch(TABLES)?;
    row::Tally::NONE.keep(transaction)?;
    let mut statement = transaction.prepare("SELECT * FROM first_record")?;
    let mut rows = statement.query(())?;
    while let Some(found) = rows.next()? {
        let key: String = found.get("key")?;
        row::write(transaction, keys, &Key::from_text(&key), &first::record(found)?)?;
    }
    drop(rows);
    drop(statement);
    let secret = transaction.query_row("SELECT value FROM secret WHERE name = 'subjects'", (), |row| row.get(0))?;
    row::write_subject_secret(transaction, keys, &secret)?;
    transaction.execute_batch("DROP TABLE first_record; DROP TABLE secret")?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}
