//! A hundred thousand subjects, of which a thousand are in use.

use std::{sync::Arc, time::Duration};

use bearerd::{
    assemble::Program,
    clock::{Clock, Deadline},
    credential::token::Tokens,
    manager::{Manager, TokenHandle},
    store::{self, Key, TokenStore, random_id},
};
use secrecy::SecretString;

use crate::{
    ALONE, held,
    world::{self, Endpoint, LIFETIME, WIDTH},
};

const SUBJECTS: usize = 100_000;
/// Every so many is in use: a thousand of them.
const EVERY: usize = 100;
const PATIENCE: Duration = Duration::from_secs(60);
/// The most that an idle subject may hold beside its record, in bytes.
const MOST_IDLE: usize = 12 * 1024;

fn text(endpoint: &Endpoint) -> String {
    format!(
        "state: {{ store: memory }}\n\
         credentials:\n\
         \x20 c: {{ subject: {{ user: \"${{header:x-user}}\" }}, max_subjects: {SUBJECTS}, \
         grant: {{ type: client_credentials, token_url: \"http://{}/token\", client_id: a, client_secret: b, auth: basic, \
         extra: {{ user: \"${{subject:user}}\" }} }} }}\n",
        endpoint.address
    )
}

fn name(user: usize) -> String {
    format!("{user:0WIDTH$}")
}

/// What an earlier process left: a token of each subject, obtained just now.
async fn records(store: &dyn TokenStore, manager: &Manager, clock: &Clock) {
    let secret = store.subject_secret().await.unwrap();
    let spec = manager.spec();
    for user in 0..SUBJECTS {
        let name = name(user);
        let tokens = Tokens {
            access: Some(format!("token-of-{name}").into()),
            obtained: clock.now().wall,
            expires: Some(Deadline::after(clock.now(), Duration::from_secs(LIFETIME))),
            ..Tokens::default()
        };
        let key = Key::of_subject(&spec.name, &secret, [name.as_str()]);
        let saved = store.replace(&key, random_id().unwrap(), &tokens, &[], &spec.fingerprint);
        saved.await.unwrap();
    }
}

async fn handle(manager: &Manager, user: usize) -> TokenHandle {
    let subject = [("user".to_owned(), SecretString::from(name(user)))];
    manager.handle(&subject, PATIENCE).await.unwrap()
}

/// Each of these subjects is used once, and has a token then.
async fn used(manager: &Manager, users: impl Iterator<Item = usize> + Send + 'static) {
    let users = Arc::new(std::sync::Mutex::new(users));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (manager, users) = (manager.clone(), users.clone());
            tokio::spawn(async move {
                loop {
                    let Some(user) = users.lock().unwrap().next() else {
                        return;
                    };
                    handle(&manager, user).await.token(PATIENCE).await.unwrap();
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_thousand_subjects_only_the_thousand_in_use_are_renewed() {
    let _alone = ALONE.lock().await;
    let endpoint = Endpoint::start(SUBJECTS).await;
    let clock = Clock::manual();
    let store = store::memory(clock.clone());
    let program = Program::over(store.clone(), world::loaded(text(&endpoint)).config, clock.clone()).unwrap();
    let manager = program.managers.values().next().unwrap().clone();
    records(&*store, &manager, &clock).await;
    // A hundredth first, so that what is made once is there before the measuring begins.
    const WARM: usize = SUBJECTS / 100;
    used(&manager, 0..WARM).await;
    let before = held();
    used(&manager, WARM..SUBJECTS).await;
    let each = (held() - before) / (SUBJECTS - WARM);
    println!("an idle subject of {SUBJECTS}: {each} bytes, beside its record");
    assert!(each < MOST_IDLE, "{each} bytes");
    assert_eq!(endpoint.all_asked(), 0, "their tokens were in the store");

    // Ahead of the expiry: whoever is used has another token soon, which nobody waits for.
    clock.advance(Duration::from_secs(LIFETIME - 30));
    let in_use = || (0..SUBJECTS).step_by(EVERY);
    used(&manager, in_use()).await;
    while endpoint.all_asked() < SUBJECTS / EVERY {
        tokio::task::yield_now().await;
    }
    // Past everybody's expiry, and a hundred lifetimes more.
    for ahead in [60, 100 * LIFETIME] {
        clock.advance(Duration::from_secs(ahead));
    }
    // Once all tasks have ended, nothing can follow.
    drop(manager);
    assert!(program.shutdown().await, "something is still under way");
    for user in 0..SUBJECTS {
        let expected = usize::from(user % EVERY == 0);
        let asked = endpoint.asked(user);
        assert_eq!(asked, expected, "user {user}");
    }
}
