//! A running bearerd, the authorization server, a person with a browser, and an application.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use bearerd::demo::idp::{CLIENT, Idp, IdpCounts, REGISTERED};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch, time::timeout};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const CONFIG: &str = "\
listeners: { main: { bind: \"unix:DIR/main.sock\" } }
admin: { bind: \"unix:DIR/admin.sock\" }
state: { store: sqlite, path: DIR/state.db }
log: { format: json, level: trace }
credentials:
  code:
    grant: { type: authorization_code, authorize_url: \"IDP/authorize\", token_url: \"IDP/token\", client_id: CLIENT, scope: api }
  registered:
    grant: { type: authorization_code, authorize_url: \"IDP/authorize\", token_url: \"IDP/token\", client_id: CLIENT,
             redirect_uri: \"REGISTERED\" }
  device:
    grant: { type: device_code, device_url: \"IDP/device\", token_url: \"IDP/token\", client_id: CLIENT }
upstreams:
  code: { url: \"IDP/api\", credential: code }
  registered: { url: \"IDP/api\", credential: registered }
  device: { url: \"IDP/api\", credential: device }
routes:
  code: { prefix: /code, upstream: code }
  registered: { prefix: /registered, upstream: registered }
  device: { prefix: /device, upstream: device }
";

/// An HTTP answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    fn read(mut stream: impl Read) -> Self {
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        let (head, body) = all
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("no answer: {all:?}"));
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

/// A browser goes to this address, and no further.
pub(crate) fn visit(url: &str) -> Answer {
    let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("not http: {url}"));
    let (host, target) = rest.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET /{target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    Answer::read(stream)
}

/// Where the authorization server sends a browser that opens this page.
pub(crate) fn redirected(url: &str) -> String {
    let answer = visit(url);
    assert_eq!(answer.status, 302, "{}", answer.body);
    answer.header("location").unwrap().to_owned()
}

/// Asks again and again until it is so.
pub(crate) fn eventually(mut is_so: impl FnMut() -> bool) {
    assert!((0..20_000).any(|_| is_so()), "it never was so");
}

/// The value of a parameter of a URL.
pub(crate) fn parameter(url: &str, name: &str) -> String {
    let (_, query) = url.split_once('?').unwrap();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(found, _)| found == name).unwrap().1.into_owned()
}

pub(crate) struct World {
    pub(crate) idp: Idp,
    runtime: Runtime,
    folder: TempDir,
    bearerd: Child,
    log: Arc<(Mutex<String>, Condvar)>,
    reading: Option<JoinHandle<()>>,
}

impl World {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let idp = runtime.block_on(Idp::start(Duration::from_secs(600), Duration::from_secs(1)));
        let idp = idp.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let config = CONFIG
            .replace("DIR", folder.path().to_str().unwrap())
            .replace("IDP", idp.url("").as_str())
            .replace("CLIENT", CLIENT)
            .replace("REGISTERED", REGISTERED);
        fs::write(folder.path().join("bearerd.yaml"), config).unwrap();
        let mut bearerd = command(folder.path(), &["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(bearerd.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("\"message\":\"ready\"") {
            assert_ne!(
                lines.read_line(&mut text).unwrap(),
                0,
                "it ended before it was ready: {text}"
            );
        }
        let log = Arc::new((Mutex::new(text), Condvar::new()));
        let shared = log.clone();
        let reading = thread::spawn(move || {
            for line in lines.lines() {
                let mut log = shared.0.lock().unwrap();
                log.push_str(&line.unwrap());
                log.push('\n');
                shared.1.notify_all();
            }
        });
        Self {
            idp,
            runtime,
            folder,
            bearerd,
            log,
            reading: Some(reading),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `bearerd login` with these arguments.
    pub(crate) fn login(&self, arguments: &[&str]) -> Login {
        let arguments: Vec<&str> = ["login"].iter().chain(arguments).copied().collect();
        let mut child = command(self.folder.path(), &arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Login {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            said: String::new(),
            child,
        }
    }

    pub(crate) fn bearerd(&self, arguments: &[&str]) -> std::process::Output {
        command(self.folder.path(), arguments).output().unwrap()
    }

    /// An application asks through a route.
    pub(crate) fn get(&self, route: &str) -> Answer {
        self.ask(
            "main.sock",
            &format!("GET /{route}/orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"),
        )
    }

    /// Somebody asks the admin listener.
    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let head = "host: localhost\r\nconnection: close\r\ncontent-type: application/json";
        let length = body.len();
        self.ask(
            "admin.sock",
            &format!("POST {path} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}"),
        )
    }

    fn ask(&self, socket: &str, request: &str) -> Answer {
        let mut stream = UnixStream::connect(self.path(socket)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        Answer::read(stream)
    }

    /// The chain and generation that `bearerd status` tells.
    pub(crate) fn position(&self, credential: &str) -> (u64, u64) {
        let output = self.bearerd(&["status", "--json"]);
        let page: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = page["credentials"].as_array().unwrap();
        let it = all.iter().find(|it| it["name"] == credential).unwrap();
        (
            it["chain"].as_u64().unwrap_or(0),
            it["generation"].as_u64().unwrap_or(0),
        )
    }

    /// Waits until the authorization server has counted so much.
    pub(crate) fn until(&self, enough: impl FnMut(&IdpCounts) -> bool) -> IdpCounts {
        let mut counts: watch::Receiver<IdpCounts> = self.idp.watch();
        let seen = self.runtime.block_on(async {
            timeout(PATIENCE, counts.wait_for(enough))
                .await
                .map(|seen| *seen.unwrap())
        });
        seen.expect("it never counted so much")
    }

    /// Waits until the log says so.
    pub(crate) fn logged(&self, words: &str) {
        let (log, grown) = &*self.log;
        let waited = grown.wait_timeout_while(log.lock().unwrap(), PATIENCE, |log| !log.contains(words));
        assert!(!waited.unwrap().1.timed_out(), "the log never said: {words}");
    }

    pub(crate) fn counted(&self) -> IdpCounts {
        *self.idp.watch().borrow()
    }

    /// Ends bearerd; its log, at trace level, holds nothing that anybody said in secret.
    pub(crate) fn end(mut self) {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.bearerd),
            rustix::process::Signal::TERM,
        )
        .unwrap();
        assert!(self.bearerd.wait().unwrap().success());
        self.reading.take().unwrap().join().unwrap();
        let log = self.log.0.lock().unwrap();
        assert!(log.contains("a sign-in with a browser has begun"), "{log}");
        let said = self.idp.said();
        assert!(!said.is_empty());
        for secret in said {
            assert!(!log.contains(&secret), "a secret is in the log");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.bearerd.kill();
        let _ = self.bearerd.wait();
    }
}

/// The binary, with nothing of this process's environment.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
    command.env_clear().current_dir(folder).args(arguments);
    command
}

/// A `bearerd login` under way.
pub(crate) struct Login {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) said: String,
}

impl Login {
    /// The next line that it says which begins like this, without the blanks before it.
    pub(crate) fn line(&mut self, start: &str) -> String {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).unwrap() == 0 {
                let mut errors = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
                panic!("it never said {start}: {}{errors}", self.said);
            }
            self.said.push_str(&line);
            if let Some(found) = Some(line.trim()).filter(|line| line.starts_with(start)) {
                return found.to_owned();
            }
        }
    }

    /// Types a line.
    pub(crate) fn say(&mut self, text: &str) {
        writeln!(self.input.as_mut().unwrap(), "{text}").unwrap();
    }

    /// Waits for its end: exit code, and what it said on both streams.
    pub(crate) fn end(mut self) -> (i32, String) {
        drop(self.input.take());
        self.output.read_to_string(&mut self.said).unwrap();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut self.said).unwrap();
        }
        (self.child.wait().unwrap().code().unwrap(), self.said.clone())
    }

    /// The person gives up.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
