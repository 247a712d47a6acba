//! A stolen state file: with keys, neither it nor its journal shows a token, whatever was spent or is in use.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use bearerd::demo::flow_retail;
use secrecy::ExposeSecret;

use crate::world::{Bearerd, World};

/// How many access tokens' lifetimes pass.
const LIFETIMES: usize = 8;
/// A piece of this many bytes is not there by accident, and says that more may be.
const PIECE: usize = 12;

/// One data call of each credential that gets tokens.
async fn call_all(bearerd: &Bearerd) {
    let users = flow_retail::USERS;
    for (target, user) in [
        ("/flow-user/v2/tenants/demo-tenant/reasons", Some(users[0].token)),
        ("/flow-user/v2/tenants/other-tenant/reasons", Some(users[1].token)),
        ("/flow-device/v2/tenants/demo-tenant/reasons", None),
        ("/fluent/api/v4.1/order/1001", None),
        ("/fluent-integration/api/v4.1/order/1001", None),
        ("/pos/dishes", None),
        ("/flowlu-oauth/api/v1/module/crm/lead/list", None),
    ] {
        let answer = bearerd.get(target, user).await;
        assert_eq!(answer.word, "200", "{target}: {answer:?}");
    }
}

/// What a thief would look for: the token as it is, in base64 within longer text, and in hexadecimal digits.
fn spellings(token: &str) -> Vec<String> {
    let hex = |upper: bool| -> String {
        let digits = token.bytes().map(|byte| match upper {
            true => format!("{byte:02X}"),
            false => format!("{byte:02x}"),
        });
        digits.collect()
    };
    let mut found = vec![token.to_owned(), hex(true), hex(false)];
    for offset in 0..3 {
        let mut bytes = vec![0; offset];
        bytes.extend(token.as_bytes());
        let (skipped, whole) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
        for text in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            found.push(text[skipped..whole].to_owned());
        }
    }
    found
}

/// Every stretch of each spelling.
fn pieces(tokens: &[String]) -> HashSet<Vec<u8>> {
    let spelt = tokens.iter().flat_map(|token| spellings(token));
    spelt
        .flat_map(|text| {
            text.as_bytes()
                .chunks_exact(PIECE)
                .map(<[u8]>::to_vec)
                .collect::<Vec<_>>()
        })
        .collect()
}

fn shows(content: &[u8], pieces: &HashSet<Vec<u8>>) -> usize {
    content.windows(PIECE).filter(|window| pieces.contains(*window)).count()
}

fn holds(content: &[u8], token: &str) -> bool {
    content.windows(token.len()).any(|window| window == token.as_bytes())
}

/// Each content that any file of the directory has had, as far as anybody who looks all the time can see.
fn watch(directory: &Path, ended: Arc<AtomicBool>) -> thread::JoinHandle<BTreeSet<Vec<u8>>> {
    let directory = directory.to_owned();
    thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !ended.load(Ordering::Relaxed) {
            for entry in fs::read_dir(&directory).unwrap().flatten() {
                // A journal may be gone again.
                seen.extend(fs::read(entry.path()));
            }
        }
        seen
    })
}

/// Lets tokens be spent and replaced; everything that was to be seen of the state, and every token issued.
async fn lived(keys: &str) -> (BTreeSet<Vec<u8>>, Vec<u8>, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.db");
    let world = World::every_preset(&format!("store: sqlite, path: \"{}\"{keys}", file.display())).await;
    let ended = Arc::new(AtomicBool::new(false));
    let watching = watch(directory.path(), ended.clone());
    let bearerd = world.start().await;
    for _ in 0..LIFETIMES {
        call_all(&bearerd).await;
        world.expire();
    }
    call_all(&bearerd).await;
    assert!(bearerd.stop().await);
    ended.store(true, Ordering::Relaxed);
    let seen = watching.join().unwrap();
    let issued = world.apis.all().into_iter().flat_map(|api| api.issued());
    let mut tokens: Vec<String> = issued.map(|token| token.expose_secret().to_owned()).collect();
    tokens.extend(flow_retail::USERS.iter().map(|user| user.token.to_owned()));
    (seen, fs::read(file).unwrap(), tokens)
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_file_and_its_journal_show_no_token() {
    let (seen, file, tokens) = lived(", keys: [\"0123456789-0123456789-0123456789\"]").await;
    let pieces = pieces(&tokens);
    assert!(tokens.len() > 8 * LIFETIMES && pieces.len() > tokens.len());
    assert!(seen.len() > LIFETIMES, "{} contents were seen", seen.len());
    for content in seen.iter().chain([&file]) {
        assert_eq!(shows(content, &pieces), 0, "of {} bytes", content.len());
    }
}

/// That the search finds what is there; and that without keys too, what was spent is gone.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_file_shows_what_is_in_use_and_nothing_that_was_spent() {
    let (seen, file, tokens) = lived("").await;
    assert!(seen.iter().any(|content| shows(content, &pieces(&tokens)) > 0));
    let shown = tokens.iter().filter(|token| holds(&file, token)).count();
    // An access token each, and a refresh token where there is one.
    assert!((7..=14).contains(&shown), "{shown} of {} tokens", tokens.len());
}
