//! Files that aren't what was written: a byte that changed, an end that is missing.

use super::*;

/// A small file, and what it holds.
struct Whole {
    place: Spot,
    content: Vec<u8>,
    texts: &'static [&'static str],
    record: Record,
    secret: [u8; 32],
}

impl Whole {
    async fn new(texts: &'static [&'static str]) -> Self {
        let place = place();
        // Small pages make a small file.
        let raw = Connection::open(&place.path).unwrap();
        raw.execute_batch("PRAGMA page_size = 512; VACUUM").unwrap();
        drop(raw);
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
        let store = opened(&place.path, texts).unwrap();
        save(&store, "canary").await.unwrap();
        let other = Key::of(&"other".parse().unwrap());
        store.claim(&other, ask()).await.unwrap();
        let record = store.load(&key()).await.unwrap().unwrap();
        let secret = store.subject_secret().await.unwrap();
        drop(store);
        let content = fs::read(&place.path).unwrap();
        assert!(content.len() < 10_000, "{} bytes", content.len());
        Self {
            place,
            content,
            texts,
            record,
            secret,
        }
    }

    /// What a process finds in this instead: what was there, or an error. `Err` where the file can't be opened.
    fn found(&self, content: &[u8]) -> Result<(), Fault> {
        let path = self.place.directory.path().join("damaged.db");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        // What another one left would be taken for this one's.
        let _ = fs::remove_file(path.with_extension("db-journal"));
        let keys = keys(self.texts);
        let Opened {
            mut connection,
            complete,
            ..
        } = Opened::new(&path, &keys, |_| false, &mut Seen::default())?;
        // A loss of power is not what this is about.
        connection.pragma_update(None, "synchronous", "off").unwrap();
        if let Ok(found) = row::subject_secret(&connection, &keys) {
            assert_eq!(found, self.secret, "another key of subjects");
        }
        let Ok(found) = row::read(&connection, &keys, &key(), complete) else {
            return Ok(());
        };
        assert_eq!(found.as_ref(), Some(&self.record), "another record, or none");
        // What is written to it is what is read then, or an error.
        let next = Record {
            tokens: tokens("next"),
            ..self.record.clone()
        };
        let transaction = connection.transaction().unwrap();
        if row::write(&transaction, &keys, &key(), &next).is_ok()
            && transaction.commit().is_ok()
            && let Ok(found) = row::read(&connection, &keys, &key(), complete)
        {
            assert_eq!(found, Some(next), "another record than was written");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_flipped_byte_anywhere_has_no_effect_or_is_told() {
    for texts in [&["key"][..], &[]] {
        let whole = Whole::new(texts).await;
        assert!(whole.found(&whole.content).is_ok());
        let mut told = 0;
        for at in 0..whole.content.len() {
            let mut bytes = whole.content.clone();
            // A different bit each time, and all of them every eighth.
            bytes[at] ^= if at % 8 == 0 { 0xff } else { 1 << (at % 8) };
            told += usize::from(whole.found(&bytes).is_err());
        }
        assert!(told > 100, "only {told} were told when the file was opened");
    }
}

#[tokio::test]
async fn a_file_whose_end_is_missing_is_told() {
    let whole = Whole::new(&["key"]).await;
    let told = (1..whole.content.len()).filter(|length| whole.found(&whole.content[..*length]).is_err());
    let told = told.count();
    // Nothing but zeros may be missing unnoticed, which are what SQLite reads in their place.
    assert!(told * 10 > whole.content.len() * 9, "{told} lengths were told");
    // An end that nobody wrote is told, or has no effect.
    for more in [1, 100, 512, 5_000] {
        let mut bytes = whole.content.clone();
        bytes.resize(bytes.len() + more, 0xaa);
        let _ = whole.found(&bytes);
    }
}

/// A start that was cut off leaves such a file: it is taken for a new one.
#[tokio::test]
async fn an_empty_file_is_a_new_one() {
    let place = place();
    fs::write(&place.path, "").unwrap();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    let store = opened(&place.path, &["key"]).unwrap();
    assert_eq!(store.load(&key()).await, Ok(None));
    save(&store, "first").await.unwrap();
}

/// No damage is waited for: it doesn't mend by itself, and a start that goes on would say nothing of it.
#[tokio::test]
async fn a_damaged_file_is_refused_with_what_helps() {
    let whole = Whole::new(&["key"]).await;
    fs::write(&whole.place.path, &whole.content[..whole.content.len() / 2]).unwrap();
    let error = opened(&whole.place.path, &["key"]).map(drop).unwrap_err();
    assert!(
        error.reason.contains("damaged") && error.reason.contains("restore the file"),
        "{error}"
    );
}
