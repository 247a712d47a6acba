//! Two processes share one SQLite file, and one of them is killed: what was acknowledged is there, and no position is
//! claimed twice without doubt.

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use bearerd::{
    clock::Clock,
    credential::{
        record::{Claimed, Committed, Kind},
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    store::{self, AskClaim, Key, random_id},
};

/// Tells this test's program to be one of the two processes.
const FILE: &str = "BEARERD_TEST_STORE";
/// Begins a line that a process tells the test.
const MARK: &str = "process:";
/// Short, so that the survivor takes over within the test's time.
const LEASE: Duration = Duration::from_millis(200);
/// Ends a process whose test has gone.
const TURNS: usize = 100_000;

fn key() -> Key {
    Key::of(&"shared".parse().unwrap())
}

/// Runs as a test of its own, and does nothing unless the other one asks for it.
#[test]
fn a_process() {
    let Some(path) = std::env::var_os(FILE) else { return };
    // SQLite's locks are not fair: where the other process hogs one, a verb fails and is asked for again.
    let store = std::iter::repeat_with(|| store::sqlite(Path::new(&path), Clock::system()))
        .find_map(Result::ok)
        .unwrap();
    let fingerprint = Fingerprint::of(["erp"]);
    let tell = |what: &str, position: Position, doubt: bool| {
        writeln!(std::io::stderr(), "{MARK} {what} {position} {doubt}").unwrap();
    };
    let work = async {
        let mut on = Position::default();
        for _ in 0..TURNS {
            let kind = if on.chain == 0 { Kind::SignIn } else { Kind::Refresh };
            let ask = AskClaim {
                id: random_id().unwrap(),
                on,
                kind,
                lease: LEASE,
                fingerprint: fingerprint.clone(),
            };
            let claim = match store.claim(&key(), ask).await {
                Ok(Claimed::Granted(claim)) => claim,
                Ok(Claimed::Held(_)) | Err(_) => continue,
                Ok(Claimed::Moved(record)) => {
                    on = record.position;
                    continue;
                }
            };
            tell("granted", claim.on, claim.in_doubt);
            let tokens = Tokens {
                refresh: Some(format!("{:?}", claim.id).into()),
                ..Tokens::default()
            };
            let committed = loop {
                if let Ok(committed) = store.commit(&key(), &claim, &tokens, &fingerprint).await {
                    break committed;
                }
            };
            if let Committed::Saved(record) = committed {
                tell("saved", record.position, false);
            }
        }
    };
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(work);
}

/// Starts a process whose lines come with its number.
fn start(number: usize, path: &Path, lines: mpsc::Sender<(usize, String)>) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process", "--nocapture"])
        .env(FILE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || {
        for line in told.lines() {
            let line = line.unwrap();
            match line.strip_prefix(MARK) {
                Some(line) => _ = lines.send((number, line.trim().to_owned())),
                // A panic, say: shown with this test's own output.
                None => _ = writeln!(std::io::stderr(), "process {number}: {line}"),
            }
        }
    });
    child
}

#[derive(Default)]
struct Account {
    granted: HashSet<(u64, u64)>,
    last: Position,
    saved: [usize; 2],
}

impl Account {
    fn take(&mut self, (number, line): (usize, String)) {
        let words: Vec<&str> = line.split(' ').collect();
        let (chain, generation) = words[1].split_once('.').unwrap();
        let position = Position {
            chain: chain.parse().unwrap(),
            generation: generation.parse().unwrap(),
        };
        if words[0] == "granted" {
            let is_first = self.granted.insert((position.chain, position.generation));
            assert!(
                is_first || words[2] == "true",
                "{position} was granted twice without doubt"
            );
        } else {
            self.saved[number] += 1;
            self.last = self.last.max(position);
        }
    }
}

#[test]
fn two_processes_share_a_file_and_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.db");
    let (sender, lines) = mpsc::channel();
    let mut first = start(0, &path, sender.clone());
    let mut second = start(1, &path, sender);
    let mut account = Account::default();
    let next = || {
        lines
            .recv_timeout(Duration::from_secs(60))
            .expect("a process fell silent")
    };

    while account.saved.iter().any(|saved| *saved < 5) {
        account.take(next());
    }
    // SIGKILL, wherever it stands: before, in or after a transaction.
    first.kill().unwrap();
    first.wait().unwrap();
    let goal = account.saved[1] + 20;
    while account.saved[1] < goal {
        account.take(next());
    }
    second.kill().unwrap();
    second.wait().unwrap();
    lines.iter().for_each(|line| account.take(line));

    let store = store::sqlite(&path, Clock::system()).unwrap();
    let load = async { store.load(&key()).await.unwrap().unwrap() };
    let record = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(load);
    assert!(
        record.position >= account.last,
        "{} was acknowledged and {} is saved",
        account.last,
        record.position
    );
}
