use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::{
    clock::Clock,
    credential::{record::Kind, spec::Fingerprint, token::Tokens},
    store::{
        AskClaim, Keys, Place, Portable, StoreError, conformance, open, random_id,
        servers::{self, PASSWORD, Running},
    },
};

/// Statements are short here, and nothing is looked up: whatever fails does so at once.
fn settings(server: &Running) -> Settings {
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(server.port)
        .user("bearerd")
        .password(PASSWORD)
        .dbname("postgres");
    Settings {
        server: config,
        tls: None,
    }
}

async fn try_open(settings: &Settings, keys: &[&str]) -> Result<Arc<dyn Portable>, StoreError> {
    let keys: Vec<SecretString> = keys.iter().map(|key| (*key).into()).collect();
    open(
        Place::Postgres(settings.clone()),
        Keys::of(&keys).unwrap(),
        Clock::system(),
    )
    .await
}

async fn client(settings: &Settings) -> Client {
    let (client, connection) = settings.server.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

fn trusted(certificate: &servers::Certificate) -> Tls {
    Tls {
        config: Arc::new(certificate.client()),
        server_name: None,
    }
}

fn key() -> Key {
    Key::of(&"erp".parse().unwrap())
}

fn fingerprint() -> Fingerprint {
    Fingerprint::of(["erp"])
}

fn ask() -> AskClaim {
    AskClaim {
        id: random_id().unwrap(),
        on: Position::default(),
        kind: Kind::SignIn,
        lease: std::time::Duration::from_secs(60),
        fingerprint: fingerprint(),
    }
}

async fn save(store: &Arc<dyn Portable>, access: &str) -> Result<(), StoreError> {
    let tokens = Tokens {
        access: Some(access.into()),
        ..Tokens::default()
    };
    let id = random_id()?;
    store.replace(&key(), id, &tokens, &[], &fingerprint()).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let settings = settings(&server);
    for keys in [&[][..], &["key"]] {
        conformance::run_on_server(async || try_open(&settings, keys).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_start_at_once_make_one_set_of_tables() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let settings = settings(&server);
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let settings = settings.clone();
            tokio::spawn(async move {
                try_open(&settings, &["key"])
                    .await
                    .unwrap()
                    .subject_secret()
                    .await
                    .unwrap()
            })
        })
        .collect();
    let mut secrets = Vec::new();
    for start in starts {
        secrets.push(start.await.unwrap());
    }
    assert!(secrets.iter().all(|secret| *secret == secrets[0]));

    // A later bearerd has been here.
    let client = client(&settings).await;
    client
        .batch_execute("UPDATE bearerd_note SET value = '99' WHERE name = 'schema'")
        .await
        .unwrap();
    let error = try_open(&settings, &[]).await.unwrap_err().to_string();
    assert!(
        error.contains("later bearerd") && error.contains("schema 99"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_the_disk_whatever_others_settle_for() {
    // The writer of the log wakes too seldom to do by chance what a commit has to.
    let Some(server) = servers::postgres(&[], &["synchronous_commit=off", "wal_writer_delay=10s"]) else {
        return;
    };
    let settings = settings(&server);
    let store = try_open(&settings, &[]).await.unwrap();
    let client = client(&settings).await;
    let is_flushed = async || -> bool {
        let flushed = "SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()";
        client.query_one(flushed, &[]).await.unwrap().get(0)
    };
    let mut lazy = false;
    for nth in 0..5 {
        // A claim: what is told to others afterwards is lazy.
        let key = Key::of(&format!("erp_{nth}").parse().unwrap());
        store.claim(&key, ask()).await.unwrap();
        assert!(is_flushed().await);
        client
            .batch_execute("CREATE TABLE IF NOT EXISTS other (x int); INSERT INTO other VALUES (1)")
            .await
            .unwrap();
        lazy |= !is_flushed().await;
    }
    assert!(lazy, "others' commits were lazy, so this has shown something");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_and_comes_back_needs_no_hand() {
    let Some(mut server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let settings = settings(&server);
    let store = try_open(&settings, &[]).await.unwrap();
    save(&store, "first").await.unwrap();
    server.down();
    let error = save(&store, "lost").await.unwrap_err();
    assert!(
        error.reason.contains("check state.url") || error.reason.contains("server runs"),
        "{error}"
    );
    // A process that starts meanwhile starts.
    let another = try_open(&settings, &[]).await.unwrap();
    server.up();
    save(&store, "second").await.unwrap();
    save(&another, "third").await.unwrap();
    let record = store.load(&key()).await.unwrap().unwrap();
    assert_eq!(record.position.chain, 3);

    // Stopped, it answers nobody: that is told in time, and its connection is given up.
    let _hold = store.load(&key()).await.unwrap();
    let client = client(&settings).await;
    client.batch_execute("BEGIN; LOCK TABLE bearerd_record").await.unwrap();
    let error = save(&store, "locked").await.unwrap_err();
    assert!(error.reason.contains("took too long"), "{error}");
    client.batch_execute("ROLLBACK").await.unwrap();
    save(&store, "fourth").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_with_what_helps() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let right = settings(&server);
    let store = try_open(&right, &[]).await.unwrap();
    let refused = async |change: &dyn Fn(&mut Config)| {
        let mut settings = right.clone();
        change(&mut settings.server);
        try_open(&settings, &[]).await.unwrap_err().to_string()
    };
    let error = refused(&|server| _ = server.password("wrong-canary")).await;
    assert!(error.contains("state.password") && !error.contains("canary"), "{error}");
    let error = refused(&|server| _ = server.dbname("nowhere")).await;
    assert!(error.contains("no database of that name"), "{error}");

    let admin = client(&right).await;
    for statement in [
        "CREATE ROLE guest LOGIN PASSWORD 'canary-of-the-store'",
        "CREATE DATABASE other",
    ] {
        admin.batch_execute(statement).await.unwrap();
    }
    let error = refused(&|server| _ = server.user("guest").dbname("other")).await;
    assert!(error.contains("GRANT CREATE"), "{error}");

    admin
        .batch_execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        .await
        .unwrap();
    let read_only = try_open(&right, &[]).await.unwrap();
    let error = save(&read_only, "canary").await.unwrap_err().to_string();
    assert!(
        error.contains("takes no writes") && !error.contains("canary"),
        "{error}"
    );
    save(&store, "the session from before may still").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_a_wrong_one_is_told() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let settings = settings(&server);
    let plain = try_open(&settings, &[]).await.unwrap();
    save(&plain, "canary").await.unwrap();
    let secret = plain.subject_secret().await.unwrap();
    let client = client(&settings).await;
    let content = async || -> String {
        let row = client
            .query_one("SELECT content FROM bearerd_record", &[])
            .await
            .unwrap();
        row.get(0)
    };
    assert!(content().await.contains("canary"));
    for keys in [&["old"][..], &["old", "new"], &["new", "old"], &["new"]] {
        let store = try_open(&settings, keys).await.unwrap();
        let record = store.load(&key()).await.unwrap().unwrap();
        assert_eq!(record.tokens.access.unwrap().expose_secret(), "canary");
        assert_eq!(store.subject_secret().await.unwrap(), secret);
        assert!(!content().await.contains("canary"));
    }
    let before = content().await;
    for keys in [&["old"][..], &[]] {
        let store = try_open(&settings, keys).await.unwrap();
        for error in [store.load(&key()).await.map(drop), save(&store, "other").await] {
            let error = error.unwrap_err();
            assert!(error.reason.contains("state.keys"), "{error}");
        }
        store.subject_secret().await.unwrap_err();
    }
    assert_eq!(content().await, before, "nothing was written over it");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let certificate = servers::certificate();
    let files = [
        ("server.crt", certificate.pem.as_str()),
        ("server.key", &certificate.key),
    ];
    let Some(server) = servers::postgres(&files, &["fsync=off", "ssl=on"]) else {
        return;
    };
    let mut trusting = settings(&server);
    trusting.server.ssl_mode(tokio_postgres::config::SslMode::Require);
    trusting.tls = Some(trusted(&certificate));
    save(&try_open(&trusting, &[]).await.unwrap(), "canary").await.unwrap();
    let wary = Settings {
        tls: Some(trusted(&servers::certificate())),
        ..trusting.clone()
    };
    let error = try_open(&wary, &[]).await.unwrap_err().to_string();
    assert!(error.contains("state.tls"), "{error}");
    let Some(plain) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let mut refused = settings(&plain);
    refused.server.ssl_mode(tokio_postgres::config::SslMode::Require);
    refused.tls = Some(trusted(&certificate));
    let error = try_open(&refused, &[]).await.unwrap_err().to_string();
    assert!(error.contains("TLS"), "{error}");
}

#[tokio::test]
async fn what_accepts_connections_and_says_nothing_is_told_in_time() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::new();
    config
        .host("127.0.0.1")
        .port(silent.local_addr().unwrap().port())
        .user("bearerd");
    let server = Postgres::new(Settings {
        server: config,
        tls: None,
    });
    let fault = server.read("erp").await.unwrap_err();
    assert!(
        fault.passing && fault.reason.contains("says nothing"),
        "{}",
        fault.reason
    );
}

/// How many connections listen, and the process behind one of them.
async fn listeners(client: &Client) -> (i64, Option<i32>) {
    let listening = "SELECT count(*), max(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'";
    let row = client.query_one(listening, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// The process that listens once one does, other than this.
async fn listening(client: &Client, but: Option<i32>) -> i32 {
    for _ in 0..1_000 {
        match listeners(client).await {
            (1, Some(pid)) if Some(pid) != but => return pid,
            _ => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
    }
    panic!("nobody listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_to_whoever_waits_and_costs_nothing_where_nobody_does() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    let settings = settings(&server);
    let here = try_open(&settings, &[]).await.unwrap();
    let there = try_open(&settings, &[]).await.unwrap();
    let client = client(&settings).await;
    save(&there, "nobody waits").await.unwrap();
    assert_eq!(listeners(&client).await, (0, None));

    let wait = |key: Key| {
        let here = here.clone();
        tokio::spawn(async move { here.changed(&key).await })
    };
    let patience = std::time::Duration::from_secs(60);
    let mut last = None;
    for _ in 0..2 {
        let other = wait(Key::of(&"other".parse().unwrap()));
        let waiting = wait(key());
        let pid = listening(&client, last).await;
        save(&there, "somebody waits").await.unwrap();
        tokio::time::timeout(patience, waiting).await.unwrap().unwrap();
        assert!(!other.is_finished(), "what it waits for has not changed");
        other.abort();
        // The connection is lost: it is made again, and meanwhile everybody looks for himself.
        client
            .execute("SELECT pg_terminate_backend($1)", &[&pid])
            .await
            .unwrap();
        last = Some(pid);
    }
}
