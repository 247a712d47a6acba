use std::sync::Arc;

use super::*;
use crate::{
    clock::Clock,
    credential::{spec::Fingerprint, token::Tokens},
    store::{
        Keys, Place, Portable, StoreError, conformance, open, random_id,
        servers::{self, PASSWORD, Running},
    },
};

fn settings(server: &Running) -> Settings {
    Settings {
        host: "127.0.0.1".into(),
        port: server.port,
        tls: None,
        username: None,
        password: Some(PASSWORD.into()),
        database: 3,
        accept_loss: false,
    }
}

async fn try_open(settings: &Settings, keys: &[&str]) -> Result<Arc<dyn Portable>, StoreError> {
    let keys: Vec<SecretString> = keys.iter().map(|key| (*key).into()).collect();
    open(
        Place::Redis(settings.clone()),
        Keys::of(&keys).unwrap(),
        Clock::system(),
    )
    .await
}

/// Another connection, to look and to meddle with.
async fn command(server: &Running, words: &[&str]) -> ::redis::Value {
    let stream = connect("127.0.0.1", server.port, None).await.unwrap();
    let who = RedisConnectionInfo::default().set_db(3).set_password(PASSWORD);
    let config = AsyncConnectionConfig::new();
    let connected = MultiplexedConnection::new_with_config(&who, stream, config).await;
    let (mut connection, driver) = connected.unwrap();
    tokio::spawn(driver);
    let mut command = ::redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query_async(&mut connection).await.unwrap()
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

async fn save(store: &Arc<dyn Portable>, access: &str) -> Result<(), StoreError> {
    let tokens = Tokens {
        access: Some(access.into()),
        ..Tokens::default()
    };
    let (id, fingerprint) = (random_id()?, Fingerprint::of(["erp"]));
    store.replace(&key(), id, &tokens, &[], &fingerprint).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_conforms() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    let settings = settings(&server);
    for keys in [&[][..], &["key"]] {
        conformance::run_on_server(async || try_open(&settings, keys).await.unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_lose_what_it_acknowledges_is_refused() {
    for (setting, wanted) in [
        (["--appendonly", "no"], "appendonly yes"),
        (["--appendfsync", "everysec"], "appendfsync always"),
        (["--maxmemory-policy", "allkeys-lru"], "maxmemory-policy noeviction"),
        (["--rename-command", "CONFIG "], "CONFIG GET"),
    ] {
        let mut words: Vec<&str> = setting.to_vec();
        if wanted == "CONFIG GET" {
            words = vec!["--rename-command", "CONFIG", ""];
        }
        let Some(server) = servers::redis(&[], &words) else {
            return;
        };
        let refused = settings(&server);
        let error = try_open(&refused, &[]).await.unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("accept_loss"), "{error}");
        let accepted = Settings {
            accept_loss: true,
            ..refused
        };
        save(&try_open(&accepted, &[]).await.unwrap(), "token").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_survives_a_crash_and_recovery_needs_no_hand() {
    let Some(mut server) = servers::redis(&[], &[]) else {
        return;
    };
    let settings = settings(&server);
    let store = try_open(&settings, &[]).await.unwrap();
    save(&store, "first").await.unwrap();
    server.down();
    let error = save(&store, "lost").await.unwrap_err();
    assert!(error.reason.contains("check state.url"), "{error}");
    // A process that starts meanwhile starts.
    let another = try_open(&settings, &[]).await.unwrap();
    server.up();
    save(&another, "second").await.unwrap();
    save(&store, "third").await.unwrap();
    let record = store.load(&key()).await.unwrap().unwrap();
    assert_eq!(record.position.chain, 3);

    // A server that stands still answers nobody: that is told in time, and it is asked again when it goes on.
    server.signal("STOP");
    let error = save(&store, "silence").await.unwrap_err();
    assert!(error.reason.contains("answer"), "{error}");
    server.signal("CONT");
    save(&store, "fourth").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_told_with_what_helps() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    let right = settings(&server);
    let store = try_open(&right, &[]).await.unwrap();
    let wrong = Settings {
        password: Some("wrong-canary".into()),
        ..right.clone()
    };
    let error = try_open(&wrong, &[]).await.unwrap_err().to_string();
    assert!(error.contains("state.password") && !error.contains("canary"), "{error}");

    command(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = save(&store, "canary").await.unwrap_err().to_string();
    assert!(error.contains("memory is full") && !error.contains("canary"), "{error}");
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    save(&store, "token").await.unwrap();

    command(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = save(&store, "token").await.unwrap_err().to_string();
    assert!(error.contains("replica"), "{error}");
    command(&server, &["REPLICAOF", "NO", "ONE"]).await;
    save(&store, "token").await.unwrap();

    command(&server, &["HSET", "bearerd:record:erp", "content", "canary"]).await;
    let error = store.load(&key()).await.unwrap_err().to_string();
    assert!(
        error.contains("damaged") && error.contains("DEL bearerd:record:erp"),
        "{error}"
    );
    assert!(!error.contains("canary"), "{error}");
    command(&server, &["SET", "bearerd:record:odd", "canary"]).await;
    let another = try_open(&right, &[]).await.unwrap();
    let odd = Key::of(&"odd".parse().unwrap());
    let error = another.load(&odd).await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE") && !error.contains("canary"), "{error}");
    command(&server, &["DEL", "bearerd:record:erp"]).await;
    save(&another, "one bad record breaks one credential").await.unwrap();

    command(&server, &["SET", "bearerd:note:schema", "99"]).await;
    let error = try_open(&right, &[]).await.unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_its_own_and_a_rotation_of_keys() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    let own = format!(
        "ACL SETUSER own on >{PASSWORD} ~bearerd:* +eval +get +set +hget +hmget +hset +del +scan +time +select +config|get"
    );
    command(&server, &own.split(' ').collect::<Vec<_>>()).await;
    let own = Settings {
        username: Some("own".into()),
        ..settings(&server)
    };
    let plain = try_open(&own, &[]).await.unwrap();
    save(&plain, "canary").await.unwrap();
    let secret = plain.subject_secret().await.unwrap();
    for keys in [&["old"][..], &["old", "new"], &["new", "old"], &["new"]] {
        let store = try_open(&own, keys).await.unwrap();
        let record = store.load(&key()).await.unwrap().unwrap();
        assert_eq!(record.tokens.access.unwrap().expose_secret(), "canary");
        assert_eq!(store.subject_secret().await.unwrap(), secret);
        let kept = format!("{:?}", command(&server, &["HGETALL", "bearerd:record:erp"]).await);
        assert!(!kept.contains("canary"), "{kept}");
    }
    let store = try_open(&own, &["old"]).await.unwrap();
    let error = save(&store, "other").await.unwrap_err();
    assert!(error.reason.contains("state.keys"), "{error}");
    assert_eq!(
        command(&server, &["TTL", "bearerd:record:erp"]).await,
        ::redis::Value::Int(-1),
        "it never expires"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified() {
    let certificate = servers::certificate();
    let files = [
        ("server.crt", certificate.pem.as_str()),
        ("server.key", &certificate.key),
    ];
    let words = "--port 0 --tls-port {port} --tls-auth-clients no --tls-cert-file server.crt --tls-key-file server.key";
    let words: Vec<&str> = words.split(' ').collect();
    let Some(server) = servers::redis(&files, &words) else {
        return;
    };
    let trusting = Settings {
        tls: Some(trusted(&certificate)),
        ..settings(&server)
    };
    save(&try_open(&trusting, &[]).await.unwrap(), "canary").await.unwrap();
    let wary = Settings {
        tls: Some(trusted(&servers::certificate())),
        ..trusting
    };
    let error = try_open(&wary, &[]).await.unwrap_err().to_string();
    assert!(error.contains("state.tls"), "{error}");
}
