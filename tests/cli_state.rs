//! `bearerd state copy` moves chains between stores, and says what it did.

mod servers;

use std::{fs, path::Path, process::Output};

use assert_cmd::Command;
use bearerd::{
    clock::Clock,
    credential::{record::SeedHash, spec::Fingerprint, token::Tokens},
    store::{self, Key, Keys, Place, Portable, random_id},
};
use secrecy::{ExposeSecret, SecretString};

const OLD_KEY: &str = "old-canary-0123456789-0123456789";
const NEW_KEY: &str = "new-canary-0123456789-0123456789";

fn copy(directory: &Path) -> Output {
    let mut command = Command::cargo_bin("bearerd").unwrap();
    command.env_clear().current_dir(directory);
    command
        .args(["state", "copy", "--from", "old.yaml", "--to", "new.yaml"])
        .output()
        .unwrap()
}

fn said(output: &Output) -> (i32, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn keys(text: &str) -> Keys {
    Keys::of([&SecretString::from(text)]).unwrap()
}

fn erp() -> Key {
    Key::of(&"erp".parse().unwrap())
}

async fn save(store: &dyn Portable, key: &Key, refresh: &str) {
    let tokens = Tokens {
        refresh: Some(refresh.into()),
        ..Tokens::default()
    };
    let (id, mark) = (random_id().unwrap(), Fingerprint::of(["erp"]));
    store
        .replace(key, id, &tokens, &[SeedHash::of("seed")], &mark)
        .await
        .unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn copies_to(state: &str, place: Place, directory: &Path) {
    let old = format!("state: {{ path: old.db, keys: [{OLD_KEY}] }}\n");
    fs::write(directory.join("old.yaml"), old).unwrap();
    fs::write(
        directory.join("new.yaml"),
        format!("state: {{ {state}, keys: [{NEW_KEY}] }}\n"),
    )
    .unwrap();
    let from = Place::Sqlite(directory.join("old.db"));
    let (subject, secret, record) = runtime().block_on(async {
        let from = store::open(from.clone(), keys(OLD_KEY), Clock::system()).await.unwrap();
        let secret = from.subject_secret().await.unwrap();
        let subject = Key::of_subject(&"users".parse().unwrap(), &secret, ["user"]);
        save(&*from, &erp(), "canary").await;
        save(&*from, &subject, "canary").await;
        let record = from.load(&erp()).await.unwrap();
        (subject, secret, record)
    });

    let (code, text) = said(&copy(directory));
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("erp") && text.contains("copied") && !text.contains("canary"),
        "{text}"
    );
    let (code, text) = said(&copy(directory));
    assert!(code == 0 && text.contains("was there"), "{text}");

    runtime().block_on(async {
        let to = store::open(place, keys(NEW_KEY), Clock::system()).await.unwrap();
        assert_eq!(to.load(&erp()).await.unwrap(), record);
        assert!(to.load(&subject).await.unwrap().is_some());
        assert_eq!(to.subject_secret().await.unwrap(), secret);
        save(&*to, &erp(), "newer").await;
    });
    let (code, text) = said(&copy(directory));
    assert!(code == 1 && text.contains("newer tokens are there (2.1)"), "{text}");
    // The other way round is what is newer.
    fs::rename(directory.join("old.yaml"), directory.join("other.yaml")).unwrap();
    fs::rename(directory.join("new.yaml"), directory.join("old.yaml")).unwrap();
    fs::rename(directory.join("other.yaml"), directory.join("new.yaml")).unwrap();
    let (code, text) = said(&copy(directory));
    assert_eq!(code, 0, "{text}");
    runtime().block_on(async {
        let from = store::open(from, keys(OLD_KEY), Clock::system()).await.unwrap();
        let tokens = from.load(&erp()).await.unwrap().unwrap().tokens;
        assert_eq!(tokens.refresh.unwrap().expose_secret(), "newer");
    });
}

#[test]
fn chains_are_copied_to_another_file() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Sqlite(directory.path().join("new.db"));
    copies_to("path: new.db", place, directory.path());
}

#[test]
fn chains_are_copied_to_redis() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    let directory = tempfile::tempdir().unwrap();
    let place = Place::Redis(store::redis::Settings {
        host: "127.0.0.1".into(),
        port: server.port,
        tls: None,
        username: None,
        password: Some(servers::PASSWORD.into()),
        database: 0,
        accept_loss: false,
    });
    let state = format!(
        "store: redis, url: 'redis://127.0.0.1:{}', password: {}",
        server.port,
        servers::PASSWORD
    );
    copies_to(&state, place, directory.path());
}

#[test]
fn chains_are_copied_to_postgresql() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let url = format!("postgres://bearerd@127.0.0.1:{}/postgres", server.port);
    let mut config: tokio_postgres::Config = url.parse().unwrap();
    config.password(servers::PASSWORD);
    let place = Place::Postgres(store::postgres::Settings {
        server: config,
        tls: None,
    });
    let state = format!("store: postgres, url: '{url}', password: {}", servers::PASSWORD);
    copies_to(&state, place, directory.path());
}

#[test]
fn what_makes_no_sense_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let of = |old: &str, new: &str| {
        fs::write(directory.path().join("old.yaml"), old).unwrap();
        fs::write(directory.path().join("new.yaml"), new).unwrap();
        said(&copy(directory.path()))
    };
    let (code, text) = of("state: { path: a.db }", "state: { path: a.db }");
    assert!(code == 64 && text.contains("same store"), "{text}");
    let (code, text) = of("state: { path: a.db }", "state: { store: memory }");
    assert!(code == 64 && text.contains("nothing to copy"), "{text}");
    let (code, text) = of("state: { store: nowhere }", "");
    assert!(code == 78 && text.contains("old.yaml:1"), "{text}");
}
