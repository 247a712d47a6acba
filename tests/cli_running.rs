//! The commands that speak with a running bearerd, and how that one ends.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A bearerd of its own, in a directory of its own; ended if a test forgets to.
struct Running {
    folder: TempDir,
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

const CONFIG: &str = "\
listeners:
  main: { bind: \"unix:DIR/main.sock\" }
probes: { bind: \"unix:DIR/probes.sock\" }
admin: { bind: \"unix:DIR/admin.sock\" }
state: { store: sqlite, path: DIR/state.db }
log: { format: json }
credentials:
  shop: { grant: { type: static, token: canary } }
  secret: { grant: { type: static, token: \"${env:SECRET}\" } }
  idp:
    required: REQUIRED
    grant: { type: password, token_url: \"http://127.0.0.1:1/token\", client_id: x, username: u, password: p }
upstreams:
  shop: { url: \"http://127.0.0.1:1\", credential: shop }
routes:
  shop: { prefix: /shop, upstream: shop }
";

fn configured(required: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let config = CONFIG
        .replace("DIR", folder.path().to_str().unwrap())
        .replace("REQUIRED", &required.to_string());
    fs::write(folder.path().join("bearerd.yaml"), config).unwrap();
    folder
}

fn bearerd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.env_clear().current_dir(folder).args(arguments);
    // The proxy alone has the secret: whoever asks it needs none.
    if matches!(arguments, [] | ["run"]) {
        command.env("SECRET", "canary");
    }
    command
}

impl Running {
    fn start(required: bool) -> Self {
        let folder = configured(required);
        let mut child = bearerd(folder.path(), &[]).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("\"message\":\"ready\"") {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
        }
        Self { folder, child, log }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = bearerd(self.folder.path(), arguments).output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end; the rest of the log comes with it.
    fn end(&mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_log_is_told_and_changed() {
    let running = Running::start(false);
    let (code, output, _) = running.ask(&["log"]);
    assert_eq!((code, &*output), (0, "info, as the config says\n"));
    let (code, output, _) = running.ask(&["log", "warn,bearerd::token=debug"]);
    let said = "warn,bearerd::token=debug, until a restart; the config says info\n";
    assert_eq!((code, &*output), (0, said));
    assert_eq!(running.ask(&["log"]).1, said);
    let (code, _, errors) = running.ask(&["log", "loud"]);
    assert_eq!(code, 1);
    assert!(errors.contains("'loud' is neither a level"), "{errors}");
}

#[test]
fn health_status_and_login_ask_the_running_one() {
    let mut running = Running::start(false);
    let (code, output, errors) = running.ask(&["health"]);
    assert_eq!((code, &*errors), (0, ""), "{output}");

    let (code, table, errors) = running.ask(&["status"]);
    assert_eq!((code, &*errors), (0, ""));
    let has = |start: &str| {
        table
            .lines()
            .any(|line| line.split_whitespace().collect::<Vec<_>>().join(" ").starts_with(start))
    };
    assert!(has("shop static"), "{table}");
    assert!(has("idp idle"), "{table}");
    let (_, page, _) = running.ask(&["status", "--json"]);
    let page: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["version"], env!("CARGO_PKG_VERSION"));

    let (code, _, errors) = running.ask(&["login", "shop"]);
    assert_eq!(code, 1);
    assert!(errors.contains("fixed token"), "{errors}");
    let (code, _, errors) = running.ask(&["login", "sohp"]);
    assert_eq!(code, 1);
    assert!(errors.contains("it has: idp, secret, shop"), "{errors}");
    let (code, _, errors) = running.ask(&["login", "idp"]);
    assert_eq!(code, 1, "nobody answers at its token endpoint");
    assert!(errors.starts_with("bearerd: credential 'idp': "), "{errors}");

    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert!(status.success(), "{log}");
    assert!(log.contains("SIGTERM") && !log.contains("canary"), "{log}");
    for socket in ["main.sock", "probes.sock", "admin.sock"] {
        assert!(!running.path(socket).exists(), "{socket} is left behind");
    }
}

#[test]
fn a_required_credential_without_a_token_is_not_healthy() {
    let running = Running::start(true);
    let (code, output, errors) = running.ask(&["health"]);
    assert_eq!((code, &*output), (1, ""));
    assert!(errors.starts_with("bearerd: ") && errors.contains("idp"), "{errors}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut running = Running::start(false);
    // A request whose head is not finished keeps the drain waiting.
    let mut client = UnixStream::connect(running.path("main.sock")).unwrap();
    client
        .write_all(b"POST /shop HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\n")
        .unwrap();
    running.signal(Signal::INT);
    let mut line = String::new();
    while !line.contains("SIGINT") {
        line.clear();
        assert_ne!(running.log.read_line(&mut line).unwrap(), 0);
    }
    running.signal(Signal::TERM);
    let (status, log) = running.end();
    assert!(status.success(), "{log}");
}

#[test]
fn where_nobody_runs_that_is_said() {
    let folder = configured(false);
    for arguments in [["health"].as_slice(), &["status"], &["login", "idp"]] {
        let output = bearerd(folder.path(), arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(errors.starts_with("bearerd: no bearerd runs at unix:"), "{errors}");
    }
}

#[test]
fn an_address_in_use_ends_the_start() {
    let running = Running::start(false);
    let (code, _, errors) = running.ask(&["run"]);
    assert_eq!(code, 1);
    assert!(errors.contains("in use") || errors.contains("lock"), "{errors}");
    let (code, _, _) = running.ask(&["health"]);
    assert_eq!(code, 0, "the first one runs on");
}
