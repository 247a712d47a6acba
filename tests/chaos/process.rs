//! A bearerd in a process of its own: this test's program, executed again.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use bearerd::{
    assemble::{Program, open_store},
    clock::Clock,
    config::{self, Surroundings},
    serve::{self, Bound, Switch},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    blow::Blow,
    mined::{Mined, STRUCK},
    point::Point,
    time::{Setting, Ticking},
};

/// Tells this test's program to be a bearerd, with the config in this file.
pub(crate) const CONFIG: &str = "BEARERD_CHAOS_CONFIG";
/// Where it is to be killed from its start on.
const ARMED: &str = "BEARERD_CHAOS_ARMED";
/// Where its clock began, and how far it was set forward; without it, the system's clock is its own.
const SETTING: &str = "BEARERD_CHAOS_CLOCK";
/// Where it logs what becomes of its tokens.
const LOG: &str = "BEARERD_CHAOS_LOG";
/// Begins a line that a process tells the test.
const MARK: &str = "process:";
/// What a process may take for anything; far more than it needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the test.
#[expect(clippy::print_stderr, reason = "the test reads it")]
pub(crate) fn tell(what: &str) {
    eprintln!("{MARK} {what}");
}

/// Is a bearerd, until it is ended.
pub(crate) fn run(file: PathBuf) {
    let log = std::fs::File::create(std::env::var_os(LOG).unwrap()).unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Mutex::new(log))
        .with_ansi(false)
        .with_env_filter("bearerd::token=debug");
    subscriber.init();
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(|path| std::fs::read(path)),
    };
    let config = match config::load(&[file], &surroundings) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}"),
    };
    // One thread, so that all of the process stands still at its point.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(async {
        let setting = std::env::var(SETTING).ok();
        let ticking = setting.map(|word| Ticking::start(Setting::of(&word).unwrap()));
        let clock = ticking
            .as_ref()
            .map_or_else(Clock::system, |ticking| ticking.clock.clone());
        let store = loop {
            // SQLite's locks are not fair: where other processes hog one, opening fails and is tried again.
            if let Ok(store) = open_store(&config, &clock).await {
                break store;
            }
        };
        let (mined, resume) = Mined::over(store);
        if let Ok(words) = std::env::var(ARMED) {
            let (blow, point) = Blow::of(&words).unwrap();
            mined.arm(blow, point);
        }
        let armed = mined.clone();
        thread::spawn(move || {
            for line in std::io::stdin().lines() {
                let line = line.unwrap();
                match line.split_once(' ') {
                    Some(("forward", millis)) => {
                        let span = Duration::from_millis(millis.parse().unwrap());
                        ticking.as_ref().unwrap().forward(span);
                    }
                    Some(("step", millis)) => ticking.as_ref().unwrap().step(millis.parse().unwrap()),
                    Some(_) => {
                        let (blow, point) = Blow::of(&line).unwrap();
                        armed.arm(blow, point);
                    }
                    None if line == "mend" => armed.mend(),
                    None => resume.send(()).unwrap(),
                }
                tell("understood");
            }
            // The test has gone.
            std::process::exit(0);
        });
        let mut program = Program::over(mined, config, clock).unwrap();
        let (listener, _, stack) = program.listeners.remove(0);
        let bound = Bound::bind(&listener.bind).await.unwrap();
        tell(&format!("listening {}", bound.tcp_address().unwrap()));
        let (_switch, drain) = Switch::new();
        serve::serve(
            bound,
            move |connection| stack.of(connection),
            serve::Options::default(),
            drain,
        )
        .await;
    });
}

/// A running one, killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    log: PathBuf,
    told: mpsc::UnboundedReceiver<String>,
    /// It told that it was hit.
    is_struck: bool,
    /// None where it was killed before it listened.
    pub(crate) address: Option<SocketAddr>,
}

impl Process {
    /// Starts one, and waits until it listens or is gone.
    pub(crate) async fn start(config: &Path, armed: Option<(Blow, Point)>, clock: Option<Setting>) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let log = config.with_file_name(format!("{number}.log"));
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "a_process", "--nocapture"])
            .env(CONFIG, config)
            .env(LOG, &log);
        if let Some((blow, point)) = armed {
            command.env(ARMED, format!("{} {point}", blow.word()));
        }
        if let Some(setting) = clock {
            command.env(SETTING, setting.to_word());
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let (sender, told) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in lines.lines() {
                // A process that is killed may leave half a line.
                let Ok(line) = line else { return };
                match line.strip_prefix(MARK) {
                    Some(line) => _ = sender.send(line.trim().to_owned()),
                    // A panic, say: shown with this test's own output.
                    None => _ = writeln!(std::io::stderr(), "{line}"),
                }
            }
        });
        let mut process = Self {
            child,
            stdin,
            log,
            told,
            is_struck: false,
            address: None,
        };
        while process.address.is_none()
            && let Some(line) = process.next().await
        {
            let address = line.strip_prefix("listening ");
            process.address = address.map(|address| address.parse().unwrap());
        }
        process
    }

    async fn next(&mut self) -> Option<String> {
        let line = timeout(PATIENCE, self.told.recv()).await;
        let Ok(line) = line else {
            panic!("a process fell silent: {}", self.end());
        };
        self.is_struck |= line.as_deref() == Some(STRUCK);
        line
    }

    async fn say(&mut self, what: &str) {
        writeln!(self.stdin, "{what}").unwrap();
        while self.next().await.expect("it is gone") != "understood" {}
    }

    /// Has it hit when it next comes to this point.
    pub(crate) async fn arm(&mut self, blow: Blow, point: Point) {
        self.say(&format!("{} {point}", blow.word())).await;
    }

    /// Sets its clock forward.
    pub(crate) async fn forward(&mut self, span: Duration) {
        self.say(&format!("forward {}", span.as_millis())).await;
    }

    /// Steps its wall clock.
    pub(crate) async fn step(&mut self, millis: i64) {
        self.say(&format!("step {millis}")).await;
    }

    /// Waits until it is hit, and lives.
    pub(crate) async fn struck(&mut self) {
        while !std::mem::take(&mut self.is_struck) {
            self.next().await.expect("it is gone");
        }
    }

    /// Lets it reach its store again.
    pub(crate) async fn mend(&mut self) {
        self.say("mend").await;
    }

    /// Stops it where it stands.
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    /// Resumes it.
    pub(crate) async fn resume(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
        self.say("resumed").await;
    }

    /// How it ended, if it has, and what it logged: for words about an outcome that nobody expected.
    pub(crate) fn end(&mut self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        format!("{:?}\n{log}", self.child.try_wait())
    }

    /// Whether it was killed already.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it where it stands.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits until it was killed, and by nothing else than SIGKILL.
    pub(crate) async fn died(mut self, point: &str) {
        let end = async { while self.told.recv().await.is_some() {} };
        assert!(timeout(PATIENCE, end).await.is_ok(), "never came to: {point}");
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "at: {point}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
