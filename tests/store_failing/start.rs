//! The program's start, as operators see it: a store that will mend is waited for, one that was set up wrongly isn't.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

use crate::servers::{self, PASSWORD};

/// A bearerd, killed when this is dropped.
struct Run {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Run {
    /// With this under `state`, in this directory.
    fn start(directory: &Path, state: &str) -> Self {
        let config = format!(
            r#"
listeners: {{ main: {{ bind: "127.0.0.1:0" }} }}
probes: {{ bind: "unix:probes.sock" }}
log: {{ format: json }}
state: {{ {state} }}
credentials:
  erp: {{ grant: {{ type: password, token_url: "http://127.0.0.1:1/token", client_id: x, username: u, password: p }} }}
upstreams:
  erp: {{ url: "http://127.0.0.1:1", credential: erp }}
routes:
  erp: {{ prefix: /erp, upstream: erp }}
"#
        );
        fs::write(directory.join("bearerd.yaml"), config).unwrap();
        let mut child = bearerd(directory, "run").stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Its log until it serves, or until it has ended.
    fn until_ready(&mut self) -> String {
        let mut log = String::new();
        while !log.contains("\"message\":\"ready\"") {
            if self.log.read_line(&mut log).unwrap() == 0 {
                break;
            }
        }
        log
    }

    /// How it ended, and the rest of its log.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn bearerd(directory: &Path, command: &str) -> Command {
    let mut bearerd = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    bearerd.env_clear().current_dir(directory).arg(command);
    bearerd
}

/// A start that waits says so once and serves; its probe is good, so that nothing restarts it.
fn waits(state: &str, words: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut run = Run::start(directory.path(), state);
    let log = run.until_ready();
    let told: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("the store can't be used yet"))
        .collect();
    assert!(log.contains("\"ready\"") && told.len() == 1, "{log}");
    assert!(told[0].contains(words) && !log.contains(PASSWORD), "{log}");
    let health = bearerd(directory.path(), "health").output().unwrap();
    assert!(health.status.success(), "{}", String::from_utf8_lossy(&health.stderr));
}

/// A start that is refused says why and what helps, and ends with 1.
fn refuses(directory: &Path, state: &str, words: &str) {
    let mut run = Run::start(directory, state);
    let log = run.until_ready();
    let (code, rest) = run.end();
    assert_eq!(code, Some(1), "{log}{rest}");
    assert!(log.contains(words) && !log.contains(PASSWORD), "{words}: {log}");
}

#[test]
fn a_server_that_is_not_there_yet_is_waited_for() {
    let state = format!("store: postgres, url: \"postgres://bearerd@127.0.0.1:1/postgres\", password: {PASSWORD}");
    waits(&state, "see that the server runs");
    let state = format!("store: redis, url: \"redis://127.0.0.1:1\", password: {PASSWORD}");
    waits(&state, "see that the server runs");
}

#[test]
fn a_file_of_another_s_or_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.db");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    refuses(directory.path(), "store: sqlite, path: state.db", "chmod 600");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "a letter to somebody ".repeat(100)).unwrap();
    refuses(
        directory.path(),
        "store: sqlite, path: state.db",
        "is not an SQLite database",
    );
}

#[test]
fn a_server_that_lets_nobody_in_or_keeps_nothing_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    if let Some(server) = servers::postgres(&[], &["fsync=off"]) {
        let state = format!(
            "store: postgres, url: \"postgres://bearerd@127.0.0.1:{}/postgres\", password: wrong",
            server.port
        );
        refuses(directory.path(), &state, "state.password");
    }
    if let Some(server) = servers::redis(&[], &["--appendfsync", "everysec"]) {
        let state = format!(
            "store: redis, url: \"redis://127.0.0.1:{}\", password: {PASSWORD}",
            server.port
        );
        refuses(directory.path(), &state, "appendfsync always");
    }
}
