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

use tempfile::TempDir;

use crate::{
    servers::{self, PASSWORD},
    world::{Bearerd, World},
};

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

/// What the files of a directory and of those in it hold; one of them may be gone again.
fn contents(directory: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let read = |path: &Path| match path.is_dir() {
        true => contents(path),
        false => fs::read(path).into_iter().collect(),
    };
    entries.flat_map(|entry| read(&entry.path())).collect()
}

/// Each content that any file of the directory has had, as far as anybody who looks all the time can see.
fn watch(directory: &Path, ended: Arc<AtomicBool>) -> thread::JoinHandle<BTreeSet<Vec<u8>>> {
    let directory = directory.to_owned();
    thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !ended.load(Ordering::Relaxed) {
            seen.extend(contents(&directory));
        }
        seen
    })
}

/// Lets tokens be spent and replaced: every one that was issued.
async fn lived(state: &str) -> Vec<String> {
    let world = World::every_preset(state).await;
    let bearerd = world.start().await;
    for _ in 0..LIFETIMES {
        call_all(&bearerd).await;
        world.expire();
    }
    call_all(&bearerd).await;
    assert!(bearerd.stop().await);
    let issued = world.apis.all().into_iter().flat_map(|api| api.issued());
    let mut tokens: Vec<String> = issued.map(|token| token.expose_secret().to_owned()).collect();
    tokens.extend(flow_retail::USERS.iter().map(|user| user.token.to_owned()));
    tokens
}

/// The same, and everything that was to be seen in this directory meanwhile.
async fn lived_watched(directory: &Path, state: &str) -> (BTreeSet<Vec<u8>>, Vec<String>) {
    let ended = Arc::new(AtomicBool::new(false));
    let watching = watch(directory, ended.clone());
    let tokens = lived(state).await;
    ended.store(true, Ordering::Relaxed);
    let mut seen = watching.join().unwrap();
    seen.extend(contents(directory));
    (seen, tokens)
}

/// A file of SQLite in this directory.
fn sqlite(directory: &TempDir) -> String {
    format!(
        "store: sqlite, path: \"{}\"",
        directory.path().join("state.db").display()
    )
}

const KEYS: &str = ", keys: [\"0123456789-0123456789-0123456789\"]";

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_file_and_its_journal_show_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let (seen, tokens) = lived_watched(directory.path(), &(sqlite(&directory) + KEYS)).await;
    let pieces = pieces(&tokens);
    assert!(tokens.len() > 8 * LIFETIMES && pieces.len() > tokens.len());
    assert!(seen.len() > LIFETIMES, "{} contents were seen", seen.len());
    for content in &seen {
        assert_eq!(shows(content, &pieces), 0, "of {} bytes", content.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_the_files_of_redis_show_no_token() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    let state = format!(
        "store: redis, url: \"redis://127.0.0.1:{}\", password: {PASSWORD}",
        server.port
    );
    let pieces = pieces(&lived(&(state + KEYS)).await);
    let files = contents(server.path());
    let written = files.iter().map(Vec::len).max().unwrap_or_default();
    assert!(
        written > 10_000,
        "its file of {written} bytes keeps all that was written"
    );
    for content in &files {
        assert_eq!(shows(content, &pieces), 0, "of {} bytes", content.len());
    }
}

/// That the search finds what is there; and that without keys too, what was spent is gone.
#[tokio::test(flavor = "multi_thread")]
async fn without_keys_the_file_shows_what_is_in_use_and_nothing_that_was_spent() {
    let directory = tempfile::tempdir().unwrap();
    let (seen, tokens) = lived_watched(directory.path(), &sqlite(&directory)).await;
    let file = fs::read(directory.path().join("state.db")).unwrap();
    assert!(seen.iter().any(|content| shows(content, &pieces(&tokens)) > 0));
    let shown = tokens.iter().filter(|token| holds(&file, token)).count();
    // An access token each, and a refresh token where there is one.
    assert!((7..=14).contains(&shown), "{shown} of {} tokens", tokens.len());
}
