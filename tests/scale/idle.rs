//! A credential that nobody uses has neither a task nor a timer where its subjects are concerned.

use std::{fmt::Write, time::Duration};

use bearerd::clock::Clock;
use secrecy::SecretString;
use tokio::runtime::Handle;

use crate::{
    ALONE, all_have_had_their_turn,
    world::{self, Endpoint},
};

const CREDENTIALS: usize = 1_000;

fn text(endpoint: &Endpoint) -> String {
    let mut text = "state: { store: memory }\ncredentials:\n".to_owned();
    for nth in 0..CREDENTIALS {
        writeln!(
            text,
            "  c{nth}: {{ subject: {{ user: \"${{header:x-user}}\" }}, grant: {{ type: client_credentials, \
             token_url: \"http://{}/token\", client_id: a, client_secret: b, extra: {{ user: \"${{subject:user}}\" }} }} }}",
            endpoint.address
        )
        .unwrap();
    }
    text
}

#[tokio::test]
async fn a_thousand_credentials_with_subjects_that_nobody_uses_have_no_task() {
    let _alone = ALONE.lock().await;
    let endpoint = Endpoint::start(1).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let program = world::program(text(&endpoint), &Clock::manual()).await;
    all_have_had_their_turn().await;
    assert_eq!(tasks(), before);

    // One that is used has a task for its subject, and one that looks for idle ones.
    let manager = program.managers.values().next().unwrap();
    let subject = [(
        "user".to_owned(),
        SecretString::from(format!("{:0>1$}", 0, world::WIDTH)),
    )];
    let handle = manager.handle(&subject, Duration::from_secs(10)).await.unwrap();
    handle.token(Duration::from_secs(10)).await.unwrap();
    drop(handle);
    assert_eq!(endpoint.asked(0), 1);
    while tasks() > before + 2 {
        // The endpoint's, and the connection's to it.
        tokio::task::yield_now().await;
    }
    assert_eq!(tasks(), before + 2);
    assert!(program.shutdown().await);
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}
