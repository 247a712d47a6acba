//! `bearerd login` through a running bearerd, against an emulated API.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
};

use bearerd::demo::{Apis, Options, pos};

/// A running bearerd, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bearerd(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.env_clear().current_dir(folder).args(arguments);
    command
}

/// Logs in, with these lines on standard input.
fn login(folder: &Path, answers: &str) -> Output {
    let mut command = bearerd(folder, &["login", "pos"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// What an application gets.
fn dishes(folder: &Path) -> String {
    let mut stream = UnixStream::connect(folder.join("main.sock")).unwrap();
    let request = "GET /pos/dishes HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn status(folder: &Path) -> serde_json::Value {
    let output = bearerd(folder, &["status", "--json"]).output().unwrap();
    let page: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    page["credentials"][0].clone()
}

// The emulated API answers on the other thread while this one waits for commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_asked_once_and_the_credential_lives() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let options = Options {
        ca_file: Some(folder.join("ca.pem")),
        ..Options::default()
    };
    let apis = Apis::start(options).await.unwrap();
    let config = format!(
        "\
listeners: {{ main: {{ bind: \"unix:{0}/main.sock\" }} }}
admin: {{ bind: \"unix:{0}/admin.sock\" }}
state: {{ store: sqlite, path: {0}/state.db }}
tls: {{ ca: {0}/ca.pem }}
log: {{ format: json, level: trace }}
credentials:
  pos:
    preset: pos
    params: {{ base_url: \"{1}\", client_id: {2}, client_secret: \"{3}\" }}
upstreams: {{ pos: {{ credential: pos }} }}
routes: {{ pos: {{ prefix: /pos, upstream: pos }} }}
",
        folder.display(),
        apis.pos().base_url(),
        pos::CLIENT_ID,
        pos::CLIENT_SECRET,
    );
    fs::write(folder.join("bearerd.yaml"), config).unwrap();
    let mut running = Running(bearerd(folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(running.0.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("\"message\":\"ready\"") {
        line.clear();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
    }

    let refused = dishes(folder);
    assert!(refused.contains("x-bearerd-error: login_required"), "{refused}");

    let wrong = login(folder, &format!("{}\nwrong\n", pos::USER_NAME));
    assert_eq!(wrong.status.code(), Some(1));
    let errors = String::from_utf8(wrong.stderr).unwrap();
    assert!(errors.starts_with("bearerd: credential 'pos': refused"), "{errors}");

    let right = login(folder, &format!("{}\n{}\n", pos::USER_NAME, pos::PASSWORD));
    let errors = String::from_utf8(right.stderr).unwrap();
    assert_eq!(right.status.code(), Some(0), "{errors}");
    let held = status(folder);
    assert_eq!(held["state"], "live", "{held}");
    assert_eq!(
        held["last_error"],
        serde_json::Value::Null,
        "what was wrong is over: {held}"
    );
    let dishes = dishes(folder);
    assert!(dishes.starts_with("HTTP/1.1 200"), "{dishes}");
    assert_eq!(apis.pos().counts().families, 1, "one sign-in");

    drop(running);
    let mut text = String::new();
    log.read_to_string(&mut text).unwrap();
    assert!(text.contains("bearerd::token"), "{text}");
    assert!(
        !text.contains(pos::PASSWORD) && !text.contains(pos::CLIENT_SECRET),
        "{text}"
    );
}
