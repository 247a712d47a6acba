//! Refresh tokens given in the config, and sign-ins that another process has made.

use std::time::Duration;

use bearerd::{
    credential::token::Tokens,
    store::{self, Key, random_id},
};

use crate::stage::{PATIENT, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_seed_replaces_a_dead_chain_and_an_old_one_never_comes_back() {
    let stage = Stage::new().await;
    let old = stage.seeded("").await;
    let bearerd = stage.start(&old).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.apis.fluent().revoke_family();
    assert_eq!(bearerd.hasty().await.word(), "503 login_required");
    assert!(bearerd.stop().await);
    let bearerd = stage.start(&old).await;
    assert_eq!(bearerd.hasty().await.word(), "503 login_required", "its seed was seen");
    assert!(bearerd.stop().await);

    let new = stage.seeded("").await;
    let bearerd = stage.start(&new).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert!(bearerd.stop().await);
    // A replica that still has the old config, and a reverted commit: both use what is stored.
    let requests = stage.fluent_counts().token_requests();
    for yaml in [&old, &new, &old] {
        let bearerd = stage.start(yaml).await;
        assert_eq!(bearerd.get(PATIENT).await.word(), "200");
        assert!(bearerd.stop().await);
    }
    let counts = stage.fluent_counts();
    assert_eq!((counts.token_requests(), counts.reuses), (requests, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_in_login_required_keeps_looking_at_the_store() {
    let stage = Stage::new().await;
    let yaml = stage.seeded("").await;
    let bearerd = stage.start(&yaml).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    stage.apis.fluent().revoke_family();
    assert_eq!(bearerd.hasty().await.word(), "503 login_required");

    // Somebody signs in by hand at another process.
    let credential = "fluent".parse().unwrap();
    let config = stage.load(&yaml);
    let fingerprint = &config.credentials[&credential].spec.fingerprint;
    let elsewhere = store::sqlite(&stage.path("state.db"), stage.clock.clone()).unwrap();
    let tokens = Tokens {
        refresh: Some(stage.refresh_token().await.into()),
        obtained: stage.clock.now().wall,
        ..Tokens::default()
    };
    let id = random_id().unwrap();
    let key = Key::of(&credential);
    let replaced = elsewhere.replace(&key, id, &tokens, &[], fingerprint);
    replaced.await.unwrap();
    stage.clock.advance(Duration::from_secs(6));
    bearerd.until("it has looked", |status| status.chain == Some(2)).await;
    assert_eq!(bearerd.get(PATIENT).await.word(), "200");
    assert_eq!(stage.fluent_counts().reuses, 0);
}
