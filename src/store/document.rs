//! What stores write: a record as JSON, sealed as that very record at that very position; and the key of subjects.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{
    Key,
    keys::{Keys, SealFault},
};
use crate::{
    clock::Deadline,
    credential::{
        record::{BackOff, Id, Origin, Record, SeedHash, Standing, State},
        spec::Fingerprint,
        token::{Position, Tokens},
    },
};

/// Enough for most records: a buffer that grows leaves copies behind.
const USUAL_SIZE: usize = 16 << 10;

/// What stands for a record where it is written and read.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Record")]
struct Document {
    position: Position,
    attempt: u32,
    attempts: u32,
    state: State,
    origin: Origin,
    #[serde(with = "TokensDocument")]
    tokens: Tokens,
    fingerprint: Fingerprint,
    seeds: Vec<SeedHash>,
    claim: Option<Standing>,
    saved_by: Option<Id>,
    begun_by: Vec<Id>,
    doubt: bool,
    back_off: Option<BackOff>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Tokens")]
struct TokensDocument {
    #[serde(with = "secret")]
    access: Option<SecretString>,
    #[serde(with = "secret")]
    refresh: Option<SecretString>,
    obtained: u64,
    expires: Option<Deadline>,
    dies: Option<Deadline>,
}

/// Tokens are written here and nowhere else, which is why no secret has an implementation of its own for it.
mod secret {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(|secret| secret.expose_secret()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
    }
}

/// A record as a store writes it.
pub(super) fn write(keys: &Keys, key: &Key, record: &Record) -> Result<String, SealFault> {
    let mut json = Zeroizing::new(Vec::with_capacity(USUAL_SIZE));
    Document::serialize(record, &mut serde_json::Serializer::new(&mut *json)).map_err(|_| SealFault::Damaged)?;
    keys.seal(&identity(key, &record.position.to_string()), &json)
}

/// A record as a store has read it, with the position that it stands beside.
pub(super) fn read(keys: &Keys, key: &Key, position: Position, text: &str) -> Result<Record, SealFault> {
    let json = keys.open(&identity(key, &position.to_string()), text)?;
    let mut json = serde_json::Deserializer::from_slice(&json);
    let record = Document::deserialize(&mut json).map_err(|_| SealFault::Damaged)?;
    json.end().map_err(|_| SealFault::Damaged)?;
    Ok(record)
}

fn identity<'a>(key: &'a Key, position: &'a str) -> [&'a str; 3] {
    ["record", key.as_str(), position]
}

const SUBJECTS: [&str; 2] = ["secret", "subjects"];

/// The key of subjects as a store writes it.
pub(super) fn write_secret(keys: &Keys, secret: &[u8; 32]) -> Result<String, SealFault> {
    keys.seal(&SUBJECTS, Zeroizing::new(super::keys::hex(secret)).as_bytes())
}

/// The key of subjects as a store has read it.
pub(super) fn read_secret(keys: &Keys, text: &str) -> Result<[u8; 32], SealFault> {
    let hex = keys.open(&SUBJECTS, text)?;
    let mut secret = [0; 32];
    if hex.len() != 2 * secret.len() || !hex.iter().all(u8::is_ascii_hexdigit) {
        return Err(SealFault::Damaged);
    }
    for (byte, digits) in secret.iter_mut().zip(hex.chunks(2)) {
        let digits = std::str::from_utf8(digits).map_err(|_| SealFault::Damaged)?;
        *byte = u8::from_str_radix(digits, 16).map_err(|_| SealFault::Damaged)?;
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let mut record = Record::new(Fingerprint::of(["erp"]));
        record.position = Position {
            chain: 1,
            generation: 2,
        };
        record.tokens.refresh = Some("canary".into());
        record
    }

    #[test]
    fn a_record_is_read_at_its_own_place_only() {
        let keys = Keys::of([&"key".into()]).unwrap();
        let (key, other) = (Key::of(&"erp".parse().unwrap()), Key::of(&"crm".parse().unwrap()));
        let record = record();
        let text = write(&keys, &key, &record).unwrap();
        assert_eq!(read(&keys, &key, record.position, &text), Ok(record.clone()));
        assert_eq!(read(&keys, &other, record.position, &text), Err(SealFault::Damaged));
        let earlier = Position {
            chain: 1,
            generation: 1,
        };
        assert_eq!(read(&keys, &key, earlier, &text), Err(SealFault::Damaged));
    }

    #[test]
    fn the_secret_of_subjects_is_kept() {
        for keys in [Keys::none(), Keys::of([&"key".into()]).unwrap()] {
            let text = write_secret(&keys, &[7; 32]).unwrap();
            assert_eq!(read_secret(&keys, &text), Ok([7; 32]));
        }
    }
}
