//! A record as the first version of the tables kept it: read once, when its file is brought to the present one.

use rusqlite::Row;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::fault::Fault;
use crate::credential::{
    record::Record,
    token::{Position, Tokens},
};

/// Reads a record.
pub(super) fn record(row: &Row<'_>) -> Result<Record, Fault> {
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

fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::Row { column })
}

fn from_optional<T: DeserializeOwned>(column: &'static str, text: Option<String>) -> Result<Option<T>, Fault> {
    text.map(|text| from_json(column, &text)).transpose()
}

fn from_word<T: DeserializeOwned>(column: &'static str, word: String) -> Result<T, Fault> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|_| Fault::Row { column })
}
