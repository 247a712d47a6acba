//! A record as a row.

use rusqlite::{Connection, OptionalExtension, Row, named_params};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use super::fault::Fault;
use crate::{
    credential::{
        record::Record,
        token::{Position, Tokens},
    },
    store::Key,
};

/// Reads a record.
pub(super) fn read(connection: &Connection, key: &Key) -> Result<Option<Record>, Fault> {
    let mut statement = connection.prepare("SELECT * FROM record WHERE key = ?1")?;
    let record = statement.query_row([key.as_str()], |row| Ok(record(row))).optional()?;
    record.transpose()
}

/// Saves a record in the place of the one with its key.
pub(super) fn write(connection: &Connection, key: &Key, record: &Record) -> Result<(), Fault> {
    let Tokens {
        access,
        refresh,
        obtained,
        expires,
        dies,
    } = &record.tokens;
    let mut statement = connection.prepare(
        "INSERT OR REPLACE INTO record (
            key, chain, generation, attempt, attempts, state, origin, access_token, refresh_token, obtained, expires,
            dies, fingerprint, doubt, back_off, claim, saved_by, begun_by, seeds
        ) VALUES (
            :key, :chain, :generation, :attempt, :attempts, :state, :origin, :access, :refresh, :obtained, :expires,
            :dies, :fingerprint, :doubt, :back_off, :claim, :saved_by, :begun_by, :seeds
        )",
    )?;
    statement.execute(named_params! {
        ":key": key.as_str(),
        ":chain": integer("chain", record.position.chain)?,
        ":generation": integer("generation", record.position.generation)?,
        ":attempt": record.attempt,
        ":attempts": record.attempts,
        ":state": word("state", &record.state)?,
        ":origin": word("origin", &record.origin)?,
        ":access": access.as_ref().map(ExposeSecret::expose_secret),
        ":refresh": refresh.as_ref().map(ExposeSecret::expose_secret),
        ":obtained": integer("obtained", *obtained)?,
        ":expires": optional("expires", expires.as_ref())?,
        ":dies": optional("dies", dies.as_ref())?,
        ":fingerprint": word("fingerprint", &record.fingerprint)?,
        ":doubt": record.doubt,
        ":back_off": optional("back_off", record.back_off.as_ref())?,
        ":claim": optional("claim", record.claim.as_ref())?,
        ":saved_by": record.saved_by.map(String::from),
        ":begun_by": json("begun_by", &record.begun_by)?,
        ":seeds": json("seeds", &record.seeds)?,
    })?;
    Ok(())
}

/// Removes a record.
pub(super) fn remove(connection: &Connection, key: &Key) -> Result<(), Fault> {
    connection.execute("DELETE FROM record WHERE key = ?1", [key.as_str()])?;
    Ok(())
}

fn record(row: &Row<'_>) -> Result<Record, Fault> {
    let secret = |column| -> Result<_, Fault> { Ok(row.get::<_, Option<String>>(column)?.map(SecretString::from)) };
    let natural = |column| u64::try_from(row.get::<_, i64>(column)?).map_err(|_| Fault::Row { column });
    Ok(Record {
        position: Position {
            chain: natural("chain")?,
            generation: natural("generation")?,
        },
        attempt: row.get("attempt")?,
        attempts: row.get("attempts")?,
        state: from_word("state", row.get("state")?)?,
        origin: from_word("origin", row.get("origin")?)?,
        tokens: Tokens {
            access: secret("access_token")?,
            refresh: secret("refresh_token")?,
            obtained: natural("obtained")?,
            expires: from_optional("expires", row.get("expires")?)?,
            dies: from_optional("dies", row.get("dies")?)?,
        },
        fingerprint: from_word("fingerprint", row.get("fingerprint")?)?,
        seeds: from_json("seeds", &row.get::<_, String>("seeds")?)?,
        claim: from_optional("claim", row.get("claim")?)?,
        saved_by: row
            .get::<_, Option<String>>("saved_by")?
            .map(|id| from_word("saved_by", id))
            .transpose()?,
        begun_by: from_json("begun_by", &row.get::<_, String>("begun_by")?)?,
        doubt: row.get("doubt")?,
        back_off: from_optional("back_off", row.get("back_off")?)?,
    })
}

fn integer(column: &'static str, number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::TooLarge { column })
}

fn json(column: &'static str, value: &impl Serialize) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|_| Fault::Row { column })
}

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::Row { column })
}

fn optional(column: &'static str, value: Option<&impl Serialize>) -> Result<Option<String>, Fault> {
    value.map(|value| json(column, value)).transpose()
}

fn from_optional<T: DeserializeOwned>(column: &'static str, text: Option<String>) -> Result<Option<T>, Fault> {
    text.map(|text| from_json(column, &text)).transpose()
}

/// A value that is one word, without the quotes that JSON would put around it.
fn word(column: &'static str, value: &impl Serialize) -> Result<String, Fault> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        _ => Err(Fault::Row { column }),
    }
}

fn from_word<T: DeserializeOwned>(column: &'static str, word: String) -> Result<T, Fault> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| Fault::Row { column })
}
