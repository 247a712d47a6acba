//! The real binary, as a child process in a directory of its own.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{client::Ask, message::Message};

/// Listeners of its own on any free port; what else a config needs is put after it. `DIR` is its directory.
pub(crate) const HEAD: &str = "\
listeners: { main: { bind: \"127.0.0.1:0\" } }
probes: { bind: \"unix:DIR/probes.sock\" }
admin: { bind: \"unix:DIR/admin.sock\" }
state: { store: memory }
log: { format: json, level: trace }
tls: { ca: DIR/ca.pem }
";

/// A directory to run in.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) env: BTreeMap<String, String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            env: BTreeMap::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the config that a run finds by itself.
    pub(crate) fn configure(&self, config: &str) {
        let config = config.replace("DIR", self.folder.path().to_str().unwrap());
        fs::write(self.path("bearerd.yaml"), config).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bearerd"));
        command
            .env_clear()
            .envs(&self.env)
            .current_dir(self.folder.path())
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        Said {
            code: output.status.code(),
            output: String::from_utf8(output.stdout).unwrap(),
            errors: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the proxy and waits until it is ready.
    pub(crate) fn run(self) -> Program {
        Program::start(self)
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// A running proxy; ended if a test forgets to.
pub(crate) struct Program {
    pub(crate) place: Place,
    pub(crate) address: SocketAddr,
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    fn start(place: Place) -> Self {
        let mut child = place
            .command(&["run"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let (mut text, mut address) = (String::new(), None);
        loop {
            let mut line = String::new();
            assert_ne!(errors.read_line(&mut line).unwrap(), 0, "it ended at its start: {text}");
            text.push_str(&line);
            let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            match event["message"].as_str() {
                Some("listening") if event["listener"] == "main" => {
                    address = event["address"].as_str().and_then(|address| address.parse().ok());
                }
                Some("ready") => break,
                _ => {}
            }
        }
        let log = Arc::new(Mutex::new(text));
        let sink = log.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while errors.read_line(&mut line).is_ok_and(|read| read > 0) {
                sink.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self {
            place,
            address: address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into()),
            child,
            log,
            reader: Some(reader),
        }
    }

    pub(crate) fn send(&self, ask: &Ask) -> Message {
        ask.send(self.address)
    }

    /// What the probes listener says.
    pub(crate) fn probe(&self, target: &str) -> Message {
        Ask::get(target).send_unix(&self.place.path("probes.sock"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What it has written so far; lines are written behind the requests.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Ends it: how it ended, and all that it wrote to its log and to standard output.
    pub(crate) fn end(mut self) -> (ExitStatus, String, String) {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> (ExitStatus, String, String) {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        let mut output = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut output).unwrap();
        }
        (status, self.log(), output)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of `/proc/PID/status`, in kibibytes.
pub(crate) fn kibibytes(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.trim_start_matches(':')
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
