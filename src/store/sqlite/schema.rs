//! The tables, and their versions.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::fault::Fault;
use crate::store::random;

/// The version of the tables, kept as the file's `user_version`.
const VERSION: i64 = 1;

/// Marks the file as bearerd's (`application_id` of the file's header): the letters `brrd`.
const APPLICATION: i64 = 0x6272_7264;

/// A record is a row. What an operator may ask about has a column of its own; what only bearerd reads is JSON.
const TABLES: &str = "
    CREATE TABLE record (
        key           TEXT    NOT NULL PRIMARY KEY,
        chain         INTEGER NOT NULL,
        generation    INTEGER NOT NULL,
        attempt       INTEGER NOT NULL,
        attempts      INTEGER NOT NULL,
        state         TEXT    NOT NULL,
        origin        TEXT    NOT NULL,
        access_token  TEXT,
        refresh_token TEXT,
        obtained      INTEGER NOT NULL,
        expires       TEXT,
        dies          TEXT,
        fingerprint   TEXT    NOT NULL,
        doubt         INTEGER NOT NULL,
        back_off      TEXT,
        claim         TEXT,
        saved_by      TEXT,
        begun_by      TEXT    NOT NULL,
        seeds         TEXT    NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secret (
        name  TEXT NOT NULL PRIMARY KEY,
        value BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

const SUBJECTS: &str = "subjects";

/// Makes the tables in a new file, and refuses those of another program or of a later version.
pub(super) fn prepare(connection: &mut Connection) -> Result<(), Fault> {
    // Immediate: of several processes that start at once, one makes the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        let secret: [u8; 32] = random().map_err(Fault::Random)?;
        transaction.execute(
            "INSERT INTO secret (name, value) VALUES (?1, ?2)",
            params![SUBJECTS, secret.as_slice()],
        )?;
        transaction.commit()?;
        return Ok(());
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
    Ok(())
}

/// The random key of subjects' keys, which was made with the file.
pub(super) fn subject_secret(connection: &Connection) -> Result<[u8; 32], Fault> {
    connection
        .query_row("SELECT value FROM secret WHERE name = ?1", [SUBJECTS], |row| row.get(0))
        .optional()?
        .ok_or(Fault::Row { column: "secret.value" })
}
