//! The store: whether it opens, and whether it can be written.

use std::path::Path;

use super::Check;
use crate::{
    assemble,
    clock::Clock,
    config::checked::{Config, State},
    credential::{
        record::{Claim, Kind},
        token::Position,
    },
    name::CredentialName,
    private::can_make_files_in,
    store::{Key, random_id},
};

const WHAT: &str = "state";

/// Opens it as `bearerd run` does, beside one that runs, and makes a transaction that changes nothing.
pub(super) async fn look(config: &Config, clock: &Clock) -> Check {
    let state = &config.state;
    if let State::Memory = state {
        return Check::ok(WHAT, "kept in memory: every start signs in anew");
    }
    if let State::Sqlite { path, .. } = state
        && !path.exists()
    {
        return missing(path);
    }
    let store = match assemble::open_store(config, clock).await {
        Ok(store) => store,
        Err(error) => return Check::fail(WHAT, error.to_string()),
    };
    let (Ok(id), Ok(name)) = (random_id(), "doctor".parse::<CredentialName>()) else {
        return Check::fail(WHAT, "the system's random source failed");
    };
    // Of a claim that nobody made: the write lock is taken, and nothing is written.
    let nobodys = Claim {
        id,
        on: Position::default(),
        kind: Kind::SignIn,
        attempt: 0,
        in_doubt: false,
    };
    match store.release(&Key::of(&name), &nobodys, None, false).await {
        Ok(()) => Check::ok(WHAT, "it opens, and can be written"),
        Err(error) => Check::fail(WHAT, error.to_string()),
    }
}

/// A file that isn't there yet must be one that can be made; this command makes none.
fn missing(path: &Path) -> Check {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    match can_make_files_in(folder) {
        Ok(()) => Check::ok(
            WHAT,
            format!("{} is not there yet; the first run makes it", path.display()),
        ),
        Err(error) => Check::fail(
            WHAT,
            format!(
                "{} is not there, and can't be made ({error}): make the directory {}, writable for bearerd's user",
                path.display(),
                folder.display()
            ),
        ),
    }
}
