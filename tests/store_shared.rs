//! Processes share one store, and one of them is killed: what was acknowledged is there, and no position is claimed
//! twice without doubt.

mod servers;

use std::{
    collections::HashSet,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use bearerd::{
    clock::Clock,
    credential::{
        record::{Claimed, Committed, Kind, Lineage},
        spec::Fingerprint,
        token::{Position, Tokens},
    },
    store::{self, AskClaim, Key, Keys, Place, Portable, random_id},
};

/// Tells this test's program to be one of the processes, and where the store is.
const STORE: &str = "BEARERD_TEST_STORE";
/// Begins a line that a process tells the test.
const MARK: &str = "process:";
/// Short, so that the survivor takes over within the test's time.
const LEASE: Duration = Duration::from_millis(200);
/// How many share a store.
const PROCESSES: usize = 3;
/// Ends a process whose test has gone.
const TURNS: usize = 100_000;

fn key() -> Key {
    Key::of(&"shared".parse().unwrap())
}

/// A store as one word: `sqlite:PATH`, `postgres:PORT` or `redis:PORT`.
fn place(word: &str) -> Place {
    let (store, place) = word.split_once(':').unwrap();
    match store {
        "sqlite" => Place::Sqlite(place.into()),
        "postgres" => {
            let mut server = tokio_postgres::Config::new();
            server.host("127.0.0.1").port(place.parse().unwrap()).dbname("postgres");
            server.user("bearerd").password(servers::PASSWORD);
            Place::Postgres(store::postgres::Settings { server, tls: None })
        }
        _ => Place::Redis(store::redis::Settings {
            host: "127.0.0.1".into(),
            port: place.parse().unwrap(),
            tls: None,
            username: None,
            password: Some(servers::PASSWORD.into()),
            database: 0,
            accept_loss: false,
        }),
    }
}

/// SQLite's locks are not fair: where another process hogs one, opening fails and is tried again.
async fn open(word: &str) -> Arc<dyn Portable> {
    loop {
        let keys = Keys::of([&"0123456789-0123456789-0123456789".into()]).unwrap();
        if let Ok(store) = store::open(place(word), keys, Clock::system()).await {
            return store;
        }
    }
}

/// Runs as a test of its own, and does nothing unless the other one asks for it.
#[test]
fn a_process() {
    let Ok(word) = std::env::var(STORE) else { return };
    let fingerprint = Fingerprint::of(["erp"]);
    let lineage = Lineage::unknown(fingerprint.clone());
    let tell = |what: &str, position: Position, doubt: bool| {
        writeln!(std::io::stderr(), "{MARK} {what} {position} {doubt}").unwrap();
    };
    let work = async {
        let store = open(&word).await;
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
                if let Ok(committed) = store.commit(&key(), &claim, &tokens, &lineage).await {
                    break committed;
                }
            };
            if let Committed::Saved(record) = committed {
                tell("saved", record.position, false);
            }
        }
    };
    run(work);
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

/// Starts a process whose lines come with its number.
fn start(number: usize, word: &str, lines: mpsc::Sender<(usize, String)>) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_process", "--nocapture"])
        .env(STORE, word)
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
    saved: [usize; PROCESSES],
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

fn share(word: &str) {
    let (sender, lines) = mpsc::channel();
    let mut processes: Vec<Child> = (0..PROCESSES)
        .map(|number| start(number, word, sender.clone()))
        .collect();
    drop(sender);
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
    let mut first = processes.remove(0);
    first.kill().unwrap();
    first.wait().unwrap();
    let goal = account.saved[1] + 20;
    while account.saved[1] < goal {
        account.take(next());
    }
    for mut other in processes {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    lines.iter().for_each(|line| account.take(line));

    let record = run(async { open(word).await.load(&key()).await.unwrap().unwrap() });
    assert!(
        record.position >= account.last,
        "{} was acknowledged and {} is saved",
        account.last,
        record.position
    );
}

#[test]
fn processes_share_a_file_and_one_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    share(&format!("sqlite:{}", directory.path().join("state.db").display()));
}

#[test]
fn processes_share_a_postgresql_and_one_is_killed() {
    let Some(server) = servers::postgres(&[], &["fsync=off"]) else {
        return;
    };
    share(&format!("postgres:{}", server.port));
}

#[test]
fn processes_share_a_redis_and_one_is_killed() {
    let Some(server) = servers::redis(&[], &[]) else { return };
    share(&format!("redis:{}", server.port));
}
