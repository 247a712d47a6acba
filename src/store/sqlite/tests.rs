use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
};

use rusqlite::Connection;
use secrecy::SecretString;

use super::{opened::Seen, *};
use crate::{
    credential::{record::Kind, record::SeedHash, spec::Fingerprint, token::Position, token::Tokens},
    store::{AskClaim, Portable, TokenStore, conformance, random_id, sqlite, transact::Ledgered},
};

mod damaged;
mod reopened;
mod sealed;

struct Spot {
    directory: tempfile::TempDir,
    path: PathBuf,
}

fn place() -> Spot {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    Spot { directory, path }
}

fn reason(path: &Path) -> String {
    match Sqlite::open(path, Keys::none(), Clock::manual()) {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    }
}

fn key() -> Key {
    Key::of(&"erp".parse().unwrap())
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["erp"])
}

fn tokens(access: &str) -> Tokens {
    Tokens {
        access: Some(access.into()),
        ..Tokens::default()
    }
}

fn ask() -> AskClaim {
    AskClaim {
        id: random_id().unwrap(),
        on: Position::default(),
        kind: Kind::SignIn,
        lease: Duration::from_secs(60),
        fingerprint: fingerprint(),
    }
}

fn keys(texts: &[&str]) -> Keys {
    let texts: Vec<SecretString> = texts.iter().map(|text| (*text).into()).collect();
    Keys::of(&texts).unwrap()
}

fn opened(path: &Path, texts: &[&str]) -> Result<Ledgered<Sqlite>, StoreError> {
    Ok(Ledgered(Sqlite::open_with(path, keys(texts), Clock::manual(), |_| {
        false
    })?))
}

async fn save(store: &Ledgered<Sqlite>, access: &str) -> Result<Record, StoreError> {
    let id = random_id()?;
    store.replace(&key(), id, &tokens(access), &[], &fingerprint()).await
}

fn secret_of(path: &Path) -> [u8; 32] {
    let opened = Opened::new(path, &Keys::none(), patience, &mut Seen::default()).unwrap();
    row::subject_secret(&opened.connection, &Keys::none()).unwrap()
}

/// A store that waits for no lock.
fn impatient(path: &Path) -> Ledgered<Sqlite> {
    Ledgered(Sqlite::open_with(path, Keys::none(), Clock::manual(), |_| false).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let place = place();
    let clock = Clock::manual();
    // Each handle is a connection of its own, as another process would have.
    let make = async || {
        let plain = Sqlite::open(&place.path, Keys::none(), clock.clone()).unwrap();
        Arc::new(Ledgered(plain)) as Arc<dyn Portable>
    };
    conformance::run(make, &clock).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_two_connections_wait_for_each_other() {
    const EACH: u64 = 50;
    let place = place();
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let store = sqlite(&place.path, Clock::manual()).unwrap();
            tokio::spawn(async move {
                for _ in 0..EACH {
                    let id = random_id().unwrap();
                    store
                        .replace(&key(), id, &tokens("any"), &[], &fingerprint())
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let record = impatient(&place.path).load(&key()).await.unwrap().unwrap();
    assert_eq!(record.position.chain, 2 * EACH, "each write saw the one before it");
}

#[tokio::test]
async fn a_lease_of_another_boot_is_over() {
    let place = place();
    let before = sqlite(&place.path, Clock::manual()).unwrap();
    before.claim(&key(), ask()).await.unwrap();
    // The system's boot id is not the manual clock's.
    let after = sqlite(&place.path, Clock::system()).unwrap();
    let crate::credential::record::Claimed::Granted(claim) = after.claim(&key(), ask()).await.unwrap() else {
        panic!("the lease outlived its clock");
    };
    assert!(claim.in_doubt);
}

#[tokio::test]
async fn the_file_and_its_directory_are_the_owner_s_alone() {
    let place = place();
    let path = place.directory.path().join("deep/er/state.db");
    let store = sqlite(&path, Clock::manual()).unwrap();
    store.claim(&key(), ask()).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    for directory in ["deep", "deep/er"] {
        let mode = fs::metadata(place.directory.path().join(directory)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

#[test]
fn what_is_acknowledged_is_on_the_disk() {
    let place = place();
    drop(Sqlite::open(&place.path, Keys::none(), Clock::manual()).unwrap());
    // Somebody's tool has changed the journal, which the file remembers.
    let raw = Connection::open(&place.path).unwrap();
    raw.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))
        .unwrap();
    drop(raw);
    let connection = Opened::new(&place.path, &Keys::none(), patience, &mut Seen::default())
        .unwrap()
        .connection;
    let journal: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .unwrap();
    let synchronous: i64 = connection
        .pragma_query_value(None, "synchronous", |row| row.get(0))
        .unwrap();
    // 3 is EXTRA (https://sqlite.org/pragma.html#pragma_synchronous).
    assert_eq!((journal.as_str(), synchronous), ("delete", 3));
}

#[test]
fn a_file_that_others_may_use_is_refused() {
    let place = place();
    drop(Sqlite::open(&place.path, Keys::none(), Clock::manual()).unwrap());
    for mode in [0o640, 0o604, 0o620, 0o602] {
        fs::set_permissions(&place.path, fs::Permissions::from_mode(mode)).unwrap();
        let reason = reason(&place.path);
        assert!(
            reason.contains(&format!("chmod 600 {}", place.path.display())),
            "{reason}"
        );
    }
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    Sqlite::open(&place.path, Keys::none(), Clock::manual()).unwrap();
}

#[test]
fn what_is_no_database_of_ours_is_refused_and_left_as_it_is() {
    let place = place();
    fs::write(
        &place.path,
        "not a database, but longer than the header of one ".repeat(40),
    )
    .unwrap();
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(reason(&place.path).contains("is not an SQLite database"));
    fs::remove_file(&place.path).unwrap();

    let other = Connection::open(&place.path).unwrap();
    other
        .execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1")
        .unwrap();
    drop(other);
    fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(reason(&place.path).contains("another program"));

    assert!(reason(place.directory.path()).contains("is not a file"));
    let below = place.path.join("below/state.db");
    assert!(reason(&below).contains("can't be made"));
}

#[test]
fn a_later_schema_is_refused() {
    let place = place();
    drop(Sqlite::open(&place.path, Keys::none(), Clock::manual()).unwrap());
    let raw = Connection::open(&place.path).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    let reason = reason(&place.path);
    assert!(
        reason.contains("later bearerd") && reason.contains("schema 99"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_lock_that_lasts_is_told_and_leaves_nothing_half_done() {
    let place = place();
    let store = impatient(&place.path);
    let raw = Connection::open(&place.path).unwrap();
    raw.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = store.claim(&key(), ask()).await.unwrap_err();
    assert!(error.reason.contains("locked by another process"), "{error}");
    raw.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.load(&key()).await, Ok(None));

    // A reader lets a verb write its journal and stops it at its very end.
    raw.execute_batch("BEGIN; SELECT count(*) FROM record").unwrap();
    store.claim(&key(), ask()).await.unwrap_err();
    raw.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.load(&key()).await, Ok(None));
    store.claim(&key(), ask()).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_what_was_there() {
    let place = place();
    let store = impatient(&place.path);
    let first = tokens("first");
    let saved = store
        .replace(&key(), random_id().unwrap(), &first, &[], &fingerprint())
        .await
        .unwrap();
    store
        .0
        .run("be limited", |opened| {
            let pages: i64 = opened
                .connection
                .pragma_query_value(None, "page_count", |row| row.get(0))?;
            opened
                .connection
                .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
            Ok(())
        })
        .await
        .unwrap();
    let huge = tokens(&"x".repeat(1 << 20));
    let error = store
        .replace(
            &key(),
            random_id().unwrap(),
            &huge,
            &[SeedHash::of("s")],
            &fingerprint(),
        )
        .await
        .unwrap_err();
    assert!(error.reason.contains("no space is left"), "{error}");
    assert_eq!(store.load(&key()).await, Ok(Some(saved)));
    let room = |opened: &mut Opened| {
        let connection = &opened.connection;
        Ok(connection.pragma_update_and_check(None, "max_page_count", 1 << 20, |_| Ok(()))?)
    };
    store.0.run("have room", room).await.unwrap();
    let again = store
        .replace(&key(), random_id().unwrap(), &huge, &[], &fingerprint())
        .await;
    assert_eq!(again.unwrap().tokens, huge, "recovery needs no hand");
}

#[tokio::test]
async fn a_file_that_can_not_be_written_is_told() {
    let place = place();
    let store = impatient(&place.path);
    store
        .0
        .run("be forbidden", |opened| {
            Ok(opened.connection.pragma_update(None, "query_only", true)?)
        })
        .await
        .unwrap();
    let error = store.claim(&key(), ask()).await.unwrap_err();
    assert!(error.reason.contains("can't be written"), "{error}");
}

#[test]
fn many_that_start_at_once_make_one_file() {
    let place = place();
    let secrets: Vec<_> = thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| secret_of(&place.path))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));
}

#[tokio::test]
async fn a_damaged_record_is_told_by_its_key_and_not_by_its_content() {
    let place = place();
    let store = impatient(&place.path);
    store.claim(&key(), ask()).await.unwrap();
    let raw = Connection::open(&place.path).unwrap();
    raw.execute("UPDATE record SET content = 'canary'", ()).unwrap();
    let error = store.load(&key()).await.unwrap_err().to_string();
    assert!(
        error.contains("record erp") && error.contains("damaged") && !error.contains("canary"),
        "{error}"
    );
}

#[tokio::test]
async fn a_spent_token_is_not_left_in_the_file() {
    let place = place();
    let store = sqlite(&place.path, Clock::manual()).unwrap();
    // Long enough for pages of its own, which stay in the file when the token goes.
    for access in [&"spent-canary ".repeat(2_000), "current"] {
        let id = random_id().unwrap();
        store
            .replace(&key(), id, &tokens(access), &[], &fingerprint())
            .await
            .unwrap();
    }
    let file = fs::read(&place.path).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("current"));
    assert!(!holds("spent-canary"));
}

#[tokio::test]
async fn a_caller_that_leaves_before_its_turn_leaves_nothing() {
    let place = place();
    let store = Arc::new(impatient(&place.path));
    let (hold, held) = mpsc::channel::<()>();
    // The thread waits here until the caller behind it has gone.
    let first = store.0.run("wait", move |_| Ok(held.recv().is_ok()));
    let mut first = Box::pin(first);
    assert!(poll_once(&mut first).await.is_none());
    let key = key();
    let mut claim = store.claim(&key, ask());
    assert!(poll_once(&mut claim).await.is_none());
    drop(claim);
    hold.send(()).unwrap();
    assert_eq!(first.await, Ok(true));
    assert_eq!(store.load(&key).await, Ok(None));
}

/// Polls once.
async fn poll_once<T>(future: &mut Pending<'_, T>) -> Option<Result<T, StoreError>> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match future.as_mut().poll(context) {
            std::task::Poll::Ready(answer) => Some(answer),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn debug_shows_the_path_only() {
    let place = place();
    let store = sqlite(&place.path, Clock::manual()).unwrap();
    let id = random_id().unwrap();
    store
        .replace(&key(), id, &tokens("canary"), &[], &fingerprint())
        .await
        .unwrap();
    assert!(!format!("{store:?}").contains("canary"));
    assert!(store.is_durable());
}
