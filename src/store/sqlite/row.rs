//! A record as a row, and the tally that tells a record which is lost from one that never was.

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use super::fault::Fault;
use crate::{
    credential::{record::Record, token::Position},
    store::{
        Key, document,
        keys::{Keys, SealFault, hex},
    },
};

/// Reads a record. `complete` says whether all records were there when the file was opened.
pub(super) fn read(connection: &Connection, keys: &Keys, key: &Key, complete: bool) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare("SELECT chain, generation, content FROM record WHERE key = ?1")?;
    let row = statement.query_row([key.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let Some((chain, generation, content)) = row.optional()? else {
        // Counting reads every key. Callers make subjects up as they like, so for one that is absent it isn't done
        // again: all other credentials would wait for the count.
        let complete = if key.is_of_subject() {
            complete
        } else {
            is_complete(connection)?
        };
        return if complete { Ok(None) } else { Err(Fault::Lost) };
    };
    let content: String = content;
    let position = Position {
        chain: natural("chain", chain)?,
        generation: natural("generation", generation)?,
    };
    let record = document::read(keys, key, position, &content).map_err(|fault| Fault::sealed(key, fault))?;
    Ok(Some(record))
}

/// Whether the records that are there are those that were written: a damaged page may hide a row, and a key that was
/// changed hides its record.
pub(super) fn is_complete(connection: &Connection) -> Result<bool, Fault> {
    match Tally::kept(connection) {
        Ok(kept) => Ok(kept == Tally::counted(connection)?),
        Err(Fault::Lost) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// Saves a record in the place of the one with its key.
pub(super) fn write(connection: &Connection, keys: &Keys, key: &Key, record: &Record) -> Result<(), Fault> {
    let content = document::write(keys, key, record).map_err(|fault| Fault::sealed(key, fault))?;
    let Position { chain, generation } = record.position;
    let (chain, generation) = (integer("chain", chain)?, integer("generation", generation)?);
    let changed = connection.execute(
        "UPDATE record SET chain = ?2, generation = ?3, content = ?4 WHERE key = ?1",
        params![key.as_str(), chain, generation, content],
    )?;
    if changed == 0 {
        connection.execute(
            "INSERT INTO record (key, chain, generation, content) VALUES (?1, ?2, ?3, ?4)",
            params![key.as_str(), chain, generation, content],
        )?;
        Tally::kept(connection)?.with(key.as_str(), 1).keep(connection)?;
    }
    Ok(())
}

/// Removes a record.
pub(super) fn remove(connection: &Connection, key: &Key) -> Result<(), Fault> {
    if connection.execute("DELETE FROM record WHERE key = ?1", [key.as_str()])? > 0 {
        Tally::kept(connection)?.with(key.as_str(), -1).keep(connection)?;
    }
    Ok(())
}

/// The keys of all records.
pub(super) fn keys(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare("SELECT key FROM record ORDER BY key")?;
    let keys: Result<_, _> = statement.query_map((), |row| row.get(0))?.collect();
    Ok(keys?)
}

/// Seals again what isn't sealed with the first key. What no key opens stays as it is: it is told when it is asked for.
pub(super) fn settle(connection: &mut Connection, keys: &Keys) -> Result<(), Fault> {
    if is_settled(connection, keys)? {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for key in stale(&transaction, keys)? {
        let key = Key::from_text(&key);
        // It was listed just now, so it isn't absent.
        match read(&transaction, keys, &key, true) {
            Ok(Some(record)) => write(&transaction, keys, &key, &record)?,
            Ok(None) | Err(Fault::Sealed { .. }) => {}
            Err(fault) => return Err(fault),
        }
    }
    if let Some(text) = note(&transaction, SUBJECTS)?.filter(|text| !keys.is_current(text))
        && let Ok(secret) = document::read_secret(keys, &text)
    {
        write_subject_secret(&transaction, keys, &secret)?;
    }
    transaction.commit()?;
    Ok(())
}

fn is_settled(connection: &Connection, keys: &Keys) -> Result<bool, Fault> {
    let secret = note(connection, SUBJECTS)?;
    Ok(secret.is_none_or(|text| keys.is_current(&text)) && stale(connection, keys)?.is_empty())
}

/// The keys of records that aren't sealed with the first key.
fn stale(connection: &Connection, keys: &Keys) -> Result<Vec<String>, Fault> {
    let stale = "SELECT key FROM record WHERE substr(content, 1, length(?1)) <> ?1";
    let mut statement = connection.prepare(stale)?;
    let stale: Result<_, _> = statement.query_map([keys.prefix()], |row| row.get(0))?.collect();
    Ok(stale?)
}

/// How many records there are, and the exclusive or of their keys' hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    count: i64,
    hashes: u128,
}

const TALLY: &str = "tally";

impl Tally {
    pub(super) const NONE: Self = Self { count: 0, hashes: 0 };

    fn with(self, key: &str, more: i64) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let half = digest.as_ref().iter().take(16);
        Self {
            count: self.count + more,
            hashes: self.hashes ^ half.fold(0, |hash, byte| hash << 8 | u128::from(*byte)),
        }
    }

    /// Of the records that are there.
    pub(super) fn counted(connection: &Connection) -> Result<Self, Fault> {
        let keys = keys(connection)?;
        Ok(keys.iter().fold(Self::NONE, |tally, key| tally.with(key, 1)))
    }

    /// Of the records that were written.
    fn kept(connection: &Connection) -> Result<Self, Fault> {
        let text = note(connection, TALLY)?.ok_or(Fault::Lost)?;
        let numbers = text.split_once(':');
        let numbers = numbers.and_then(|(count, hashes)| {
            let hashes = u128::from_str_radix(hashes, 16).ok()?;
            Some((count.parse().ok()?, hashes))
        });
        let (count, hashes) = numbers.ok_or(Fault::Lost)?;
        Ok(Self { count, hashes })
    }

    pub(super) fn keep(self, connection: &Connection) -> Result<(), Fault> {
        let text = format!("{}:{}", self.count, hex(&self.hashes.to_be_bytes()));
        write_note(connection, TALLY, &text)
    }
}

const SUBJECTS: &str = "subjects";

/// The random key of subjects' keys, which was made with the file.
pub(super) fn subject_secret(connection: &Connection, keys: &Keys) -> Result<[u8; 32], Fault> {
    let text = note(connection, SUBJECTS)?.ok_or(Fault::Secret(SealFault::Damaged))?;
    document::read_secret(keys, &text).map_err(Fault::Secret)
}

/// Writes the key of subjects' keys.
pub(super) fn write_subject_secret(connection: &Connection, keys: &Keys, secret: &[u8; 32]) -> Result<(), Fault> {
    let text = document::write_secret(keys, secret).map_err(Fault::Secret)?;
    write_note(connection, SUBJECTS, &text)
}

fn note(connection: &Connection, name: &str) -> Result<Option<String>, Fault> {
    let value = connection.query_row("SELECT value FROM note WHERE name = ?1", [name], |row| row.get(0));
    Ok(value.optional()?)
}

fn write_note(connection: &Connection, name: &str, value: &str) -> Result<(), Fault> {
    connection.execute(
        "INSERT OR REPLACE INTO note (name, value) VALUES (?1, ?2)",
        [name, value],
    )?;
    Ok(())
}

fn integer(column: &'static str, number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::TooLarge { column })
}

fn natural(column: &'static str, number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Row { column })
}
