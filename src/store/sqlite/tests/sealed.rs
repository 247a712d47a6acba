//! Encryption at rest, damage, and the way from the first version of the tables.

use secrecy::ExposeSecret;

use super::*;

fn holds(path: &Path, text: &str) -> bool {
    let file = fs::read(path).unwrap();
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms_with_keys() {
    let place = place();
    let clock = Clock::manual();
    let make = async || {
        let sealed = Sqlite::open(&place.path, keys(&["key"]), clock.clone()).unwrap();
        Arc::new(Ledgered(sealed)) as Arc<dyn Portable>
    };
    conformance::run(make, &clock).await;
    assert!(
        !holds(&place.path, "refresh of"),
        "no token of the whole suite is in the file"
    );
}

#[tokio::test]
async fn keys_are_rotated_and_a_wrong_one_is_told() {
    let place = place();
    let plain = opened(&place.path, &[]).unwrap();
    save(&plain, "canary").await.unwrap();
    let secret = plain.subject_secret().await.unwrap();
    assert!(holds(&place.path, "canary"));
    for texts in [&["old"][..], &["old", "new"], &["new", "old"], &["new"]] {
        let store = opened(&place.path, texts).unwrap();
        let record = store.load(&key()).await.unwrap().unwrap();
        assert_eq!(record.tokens.access.unwrap().expose_secret(), "canary");
        assert_eq!(store.subject_secret().await.unwrap(), secret);
        assert!(!holds(&place.path, "canary"), "what was plain is overwritten");
    }
    let before = fs::read(&place.path).unwrap();
    for texts in [&["old"][..], &[]] {
        let store = opened(&place.path, texts).unwrap();
        let error = store.load(&key()).await.unwrap_err();
        assert!(
            error.reason.contains("record erp") && error.reason.contains("state.keys"),
            "{error}"
        );
        save(&store, "other").await.unwrap_err();
        store.claim(&key(), ask()).await.unwrap_err();
        store.subject_secret().await.unwrap_err();
        // One bad record breaks one credential.
        store.claim(&Key::of(&"other".parse().unwrap()), ask()).await.unwrap();
        store.lose(&Key::of(&"other".parse().unwrap())).await.unwrap();
    }
    let right = opened(&place.path, &["new"]).unwrap();
    let record = right.load(&key()).await.unwrap().unwrap();
    assert_eq!(record.tokens.access.unwrap().expose_secret(), "canary");
    assert_eq!(before.len(), fs::read(&place.path).unwrap().len());
}

#[tokio::test]
async fn no_token_is_in_the_file_or_its_journal() {
    let place = place();
    let store = opened(&place.path, &["key"]).unwrap();
    for nth in 0..20 {
        // Some long enough for pages of their own, which become free.
        save(
            &store,
            &format!("canary-{nth} ").repeat(if nth % 3 == 0 { 2_000 } else { 1 }),
        )
        .await
        .unwrap();
        assert!(!holds(&place.path, "canary"));
    }
    // The journal is gone with its transaction, so this looks while one is under way.
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN IMMEDIATE; UPDATE record SET chain = chain + 1")
        .unwrap();
    let journal = place.path.with_extension("db-journal");
    assert!(fs::metadata(&journal).unwrap().len() > 0);
    assert!(!holds(&journal, "canary"));
}

#[tokio::test]
async fn a_record_that_vanished_is_not_taken_for_one_that_never_was() {
    let place = place();
    let store = opened(&place.path, &["key"]).unwrap();
    save(&store, "canary").await.unwrap();
    Connection::open(&place.path)
        .unwrap()
        .execute("DELETE FROM record", ())
        .unwrap();
    let error = store.load(&key()).await.unwrap_err();
    assert!(error.reason.contains("other records than were written"), "{error}");
    store.claim(&key(), ask()).await.unwrap_err();
}

#[tokio::test]
async fn records_are_not_counted_for_each_subject_that_is_absent() {
    let place = place();
    let store = opened(&place.path, &["key"]).unwrap();
    let erp: crate::name::CredentialName = "erp".parse().unwrap();
    let [kept, lost, new] = ["kept", "lost", "new"].map(|subject| Key::of_subject(&erp, &[0; 32], [subject]));
    for key in [&kept, &lost] {
        store.claim(key, ask()).await.unwrap();
    }
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("DELETE FROM record WHERE key = ?1", [lost.as_str()])
        .unwrap();
    // What is counted is told as lost; a subject that is asked for the first time isn't.
    store.load(&key()).await.unwrap_err();
    assert_eq!(store.load(&new).await, Ok(None));
    store.claim(&new, ask()).await.unwrap();
    drop(store);

    let store = opened(&place.path, &["key"]).unwrap();
    let error = store.load(&lost).await.unwrap_err();
    assert!(error.reason.contains("other records than were written"), "{error}");
    store.claim(&lost, ask()).await.unwrap_err();
    for key in [&kept, &new] {
        assert!(store.load(key).await.unwrap().is_some(), "what is there is of use");
    }
}

/// The tables of the first version, with a record and a key of subjects.
const FIRST: &str = r#"
    CREATE TABLE record (
        key TEXT NOT NULL PRIMARY KEY, chain INTEGER NOT NULL, generation INTEGER NOT NULL, attempt INTEGER NOT NULL,
        attempts INTEGER NOT NULL, state TEXT NOT NULL, origin TEXT NOT NULL, access_token TEXT, refresh_token TEXT,
        obtained INTEGER NOT NULL, expires TEXT, dies TEXT, fingerprint TEXT NOT NULL, doubt INTEGER NOT NULL,
        back_off TEXT, claim TEXT, saved_by TEXT, begun_by TEXT NOT NULL, seeds TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secret (name TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO record VALUES (
        'erp', 3, 7, 2, 4, 'dead', 'by_hand', 'canary', NULL, 99, '{"wall":5,"boot":6,"boot_id":7}', NULL,
        'mark', 1, NULL,
        '{"id":"0000000000000000000000000000000a","on":{"chain":3,"generation":7},"kind":"refresh","attempt":4,"in_doubt":true,"lease":{"until":9,"epoch":1}}',
        '0000000000000000000000000000000b', '["0000000000000000000000000000000c"]', '[]'
    );
    INSERT INTO secret VALUES ('subjects', zeroblob(32));
    PRAGMA user_version = 1;
    PRAGMA application_id = 0x62727264;
"#;

#[tokio::test]
async fn the_first_version_is_brought_to_this_one_and_nothing_of_it_is_lost() {
    let place = place();
    Connection::open(&place.path).unwrap().execute_batch(FIRST).unwrap();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    let paths: Vec<_> = (0..4).map(|_| place.path.clone()).collect();
    // Several processes start at once: one brings it, the others find it so.
    thread::scope(|scope| {
        for path in &paths {
            scope.spawn(|| drop(Opened::new(path, &keys(&["key"]), patience, &mut Seen::default()).unwrap()));
        }
    });
    assert!(!holds(&place.path, "canary"));
    let store = opened(&place.path, &["key"]).unwrap();
    let record = store.load(&key()).await.unwrap().unwrap();
    let at = Position {
        chain: 3,
        generation: 7,
    };
    assert_eq!((record.position, record.attempt, record.attempts), (at, 2, 4));
    assert_eq!(record.tokens.access.as_ref().unwrap().expose_secret(), "canary");
    assert!(record.tokens.refresh.is_none() && record.tokens.expires.is_some() && record.doubt);
    let claim = record.claim.unwrap();
    assert_eq!((claim.attempt, claim.in_doubt, claim.lease.epoch), (4, true, 1));
    assert_eq!(record.begun_by.len(), 1);
    assert_eq!(store.subject_secret().await.unwrap(), [0; 32]);
}
