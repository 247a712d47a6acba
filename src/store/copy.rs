//! Copying chains from one store to another.

use super::{Imported, Key, Portable, StoreError};
use crate::credential::token::Position;

/// What became of one record.
#[derive(Debug)]
pub struct Copied {
    /// Its key.
    pub key: Key,
    /// Where its tokens stand, and what became of it; or why it could not be read or written.
    pub outcome: Result<(Position, Imported), StoreError>,
}

/// Copies every record of `from` to `to`, with the key of its subjects, and never over newer tokens. Neither may be in
/// use meanwhile: what one process spends after its record was copied is lost to the other store.
///
/// # Errors
/// A store that can't be used at all, or two that keep their subjects under different keys.
pub async fn copy(from: &dyn Portable, to: &dyn Portable) -> Result<Vec<Copied>, StoreError> {
    let keys = from.keys().await?;
    let has_subjects = |keys: &[Key]| keys.iter().any(Key::is_of_subject);
    if has_subjects(&keys) {
        let secret = from.subject_secret().await?;
        if to.subject_secret().await? != secret {
            if has_subjects(&to.keys().await?) {
                return Err(StoreError {
                    store: "other",
                    verb: "take over the key of subjects",
                    reason: "it has subjects of its own, under another key; copy into a store that has none".into(),
                });
            }
            to.adopt_subject_secret(&secret).await?;
        }
    }
    let mut copied = Vec::new();
    for key in keys {
        let outcome = match from.load(&key).await {
            // Removed since it was listed.
            Ok(None) => continue,
            Ok(Some(record)) => {
                let imported = to.import(&key, &record).await;
                imported.map(|imported| (record.position, imported))
            }
            Err(error) => Err(error),
        };
        copied.push(Copied { key, outcome });
    }
    Ok(copied)
}
