//! An emulated API and a bearerd in front of it, over sockets, on a clock that ticks and can be set forward.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bearerd::{
    assemble::Program,
    clock::Clock,
    config::{self, Surroundings, checked::Config},
    demo::{Apis, Counts, Misbehaviour, Options, Places, Times, config_yaml, fluent},
    manager::Status,
    serve::{self, Bound, Switch},
    upstream::{Exchange, Sent, Settings, Tls},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use tokio::task::{JoinHandle, JoinSet};

/// What a test may wait for; far more than any needs.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what nothing announces.
const STEP: Duration = Duration::from_millis(20);
/// How long access tokens live.
const LIFETIME: Duration = Duration::from_secs(3600);
/// How long the second half of a slow answer takes: long enough to break a store meanwhile.
const PAUSE: Duration = Duration::from_millis(1500);
/// How coarse the clock is: far less than anything that runs on it.
const TICK: Duration = Duration::from_millis(5);

/// A data call whose caller waits for as long as it takes.
const PATIENT: &str = "/fluent/api/v4.1/order/1";
/// The same, through the route whose callers hardly wait.
const HASTY: &str = "/hasty/api/v4.1/order/1";

/// The API, with one session that no sign-in can replace.
pub(crate) struct World {
    pub(crate) apis: Apis,
    clock: Clock,
    folder: TempDir,
    yaml: String,
}

/// An answer of bearerd's, or of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `200`, or status and code of bearerd's own: `503 token_unavailable`.
    pub(crate) word: String,
    pub(crate) body: String,
    pub(crate) retry_after: Option<String>,
}

impl World {
    /// With this under `state`.
    pub(crate) async fn new(state: &str) -> Self {
        let mut world = Self::bare().await;
        let url = world.apis.fluent().base_url();
        let seed = sign_in(&world.apis).await;
        let fluent::Client { id, secret, scope } = fluent::API_CLIENT;
        world.yaml = format!(
            r#"
listeners: {{ main: {{ bind: "127.0.0.1:0" }} }}
state: {{ {state} }}
tls: {{ ca: "{ca}" }}
credentials:
  fluent:
    seed: "{seed}"
    spend_deadline: 5s
    lease: 10s
    refresh: {{ request: {{ url: "{url}/oauth/token", query: {{ client_id: "{id}", client_secret: "{secret}",
      scope: "{scope}", grant_type: refresh_token, refresh_token: "${{token:refresh}}" }} }} }}
upstreams:
  fluent: {{ url: "{url}", credential: fluent }}
routes:
  fluent: {{ prefix: /fluent, upstream: fluent, token_timeout: 60s }}
  hasty: {{ prefix: /hasty, upstream: fluent, token_timeout: 300ms }}
"#,
            ca = world.path("ca.pem").display(),
        );
        world
    }

    /// The same with all presets, each of which gets its tokens by itself.
    pub(crate) async fn every_preset(state: &str) -> Self {
        let mut world = Self::bare().await;
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let places = Places {
            ca: &world.path("ca.pem"),
            state: Path::new("of the test's own"),
            listener: any,
            probes: any,
            admin: any,
        };
        let mut yaml = String::new();
        for line in config_yaml(&world.apis, &places).lines() {
            match line.starts_with("state:") {
                true => yaml.push_str(&format!("state: {{ {state} }}")),
                false => yaml.push_str(line),
            }
            yaml.push('\n');
        }
        world.yaml = yaml;
        world
    }

    async fn bare() -> Self {
        let clock = Clock::manual();
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            clock: clock.clone(),
            token_lifetime: LIFETIME,
            pause: PAUSE,
            keep_issued: true,
            ca_file: Some(folder.path().join("ca.pem")),
            ..Options::default()
        };
        let apis = Apis::start(options).await.unwrap();
        tick(clock.clone());
        Self {
            apis,
            clock,
            folder,
            yaml: String::new(),
        }
    }

    /// Where a test may keep what it likes.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> Config {
        load(&self.path("bearerd.yaml"), &self.yaml)
    }

    /// Starts bearerd.
    pub(crate) async fn start(&self) -> Bearerd {
        let program = Program::build(self.config(), self.clock.clone()).await;
        Bearerd::serve(program.unwrap()).await
    }

    /// Makes a renewal due, while the held token is good for long.
    pub(crate) fn make_due(&self) {
        self.clock.advance(LIFETIME * 19 / 20);
    }

    /// Lets the access tokens expire that were issued until now.
    pub(crate) fn expire(&self) {
        self.clock.advance(LIFETIME + Duration::from_secs(1));
    }

    pub(crate) fn counts(&self) -> Counts {
        self.apis.fluent().counts()
    }

    /// The token requests that were sent, and the reuses among them.
    pub(crate) fn sent(&self) -> (u64, u64) {
        let counts = self.counts();
        // One was the test's own sign-in.
        (counts.token_requests() - 1, counts.reuses)
    }

    /// Has the next token request answered slowly, after it has taken effect.
    pub(crate) fn answer_slowly(&self) {
        self.apis.fluent().misbehave(Misbehaviour::TwoChunks, Times::Next(1));
    }

    /// Waits until so many refresh tokens were spent.
    pub(crate) async fn spends(&self, count: u64) {
        eventually("spent", || self.counts().spends == count).await;
    }
}

/// A clock goes on by itself for as long as the test runs.
fn tick(clock: Clock) {
    thread::spawn(move || {
        let steady = Clock::system();
        let mut shown = steady.monotonic();
        loop {
            thread::sleep(TICK);
            let elapsed = steady.monotonic() - shown;
            let whole = Duration::from_millis(elapsed.as_millis() as u64);
            clock.advance(whole);
            shown += whole;
        }
    });
}

/// What this config says, from a file as operators write them.
pub(crate) fn load(file: &Path, yaml: &str) -> Config {
    std::fs::write(file, yaml).unwrap();
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(|path| std::fs::read(path)),
    };
    match config::load(&[file.into()], &surroundings) {
        Ok(loaded) => loaded.config,
        Err(faults) => panic!("{faults}"),
    }
}

/// A refresh token, got by a sign-in of the test's own.
async fn sign_in(apis: &Apis) -> String {
    let exchange = Exchange::new(&Settings {
        tls: Tls {
            ca: vec![CertificateDer::from_pem_slice(apis.ca_pem().as_bytes()).unwrap()],
            ..Tls::default()
        },
        ..Settings::default()
    });
    let fluent::Client { id, secret, scope } = fluent::API_CLIENT;
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("grant_type", "password"),
            ("username", fluent::USERNAME),
            ("password", fluent::PASSWORD),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope),
        ])
        .finish();
    let uri = format!("{}/oauth/token?{query}", apis.fluent().base_url());
    let request = http::Request::post(uri).body(Bytes::new()).unwrap();
    let connection = exchange.unwrap().open(request.uri()).await.unwrap();
    let Sent::Answered(reply) = connection.send(request, PATIENCE, 1 << 20).await else {
        panic!("no answer");
    };
    let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    reply["refresh_token"].as_str().unwrap().to_owned()
}

/// A running bearerd.
pub(crate) struct Bearerd {
    address: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    program: Program,
    switch: Switch,
    serving: JoinSet<()>,
}

impl Bearerd {
    async fn serve(mut program: Program) -> Self {
        let (switch, drain) = Switch::new();
        let mut serving = JoinSet::new();
        let (listener, _, stack) = program.listeners.remove(0);
        let bound = Bound::bind(&listener.bind).await.unwrap();
        let address = bound.tcp_address().unwrap();
        serving.spawn(serve::serve(
            bound,
            move |connection| stack.of(connection),
            serve::Options::default(),
            drain,
        ));
        Self {
            address,
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            program,
            switch,
            serving,
        }
    }

    /// A data call whose caller waits for as long as it takes.
    pub(crate) async fn ask(&self) -> Answer {
        self.get(PATIENT, None).await
    }

    /// A data call of any route, for this user of Flow Retail.
    pub(crate) async fn get(&self, target: &str, user: Option<&str>) -> Answer {
        call(
            self.client.clone(),
            self.address,
            target.to_owned(),
            user.map(ToOwned::to_owned),
        )
        .await
    }

    /// [`Self::ask`], beside whatever the test does.
    pub(crate) fn asking(&self) -> JoinHandle<Answer> {
        tokio::spawn(call(self.client.clone(), self.address, PATIENT.to_owned(), None))
    }

    /// A data call whose caller hardly waits.
    pub(crate) async fn ask_hastily(&self) -> Answer {
        self.get(HASTY, None).await
    }

    /// Asks until there is an answer with this word: nothing else is done meanwhile.
    pub(crate) async fn ask_until(&self, word: &str) -> Answer {
        let steady = Clock::system();
        let start = steady.monotonic();
        loop {
            let answer = self.ask_hastily().await;
            if answer.word == word {
                return answer;
            }
            assert!(steady.monotonic() - start < PATIENCE, "never {word}: {answer:?}");
            tokio::time::sleep(STEP).await;
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.program.managers[&"fluent".parse().unwrap()].status()
    }

    /// What the store has last failed with, as an operator is told.
    pub(crate) async fn store_trouble(&self) -> String {
        eventually("the store fails", || {
            self.status().last_error.is_some_and(|error| error.code == "store")
        })
        .await;
        self.status().last_error.unwrap().text
    }

    /// Waits until its tokens are saved, or aren't.
    pub(crate) async fn until_unsaved(&self, unsaved: bool) {
        eventually(&format!("unsaved is {unsaved}"), || self.status().unsaved == unsaved).await;
    }

    /// Ends it, as `bearerd run` does: whether nothing was left to save.
    pub(crate) async fn stop(mut self) -> bool {
        self.switch.start();
        drop(self.client);
        while self.serving.join_next().await.is_some() {}
        self.program.shutdown().await
    }
}

async fn call(
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    target: String,
    user: Option<String>,
) -> Answer {
    let mut request = http::Request::get(format!("http://{address}{target}"));
    if let Some(user) = user {
        request = request.header("x-flow-user-token", user);
    }
    let request = request.body(Full::default()).unwrap();
    let (head, body) = client.request(request).await.unwrap().into_parts();
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        word: format!(
            "{} {}",
            head.status.as_u16(),
            header("x-bearerd-error").unwrap_or_default()
        )
        .trim_end()
        .to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        retry_after: header("retry-after").map(ToOwned::to_owned),
    }
}

/// Waits for a condition, which nothing announces.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let steady = Clock::system();
    let start = steady.monotonic();
    while !condition() {
        assert!(steady.monotonic() - start < PATIENCE, "never: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// Says that a test can't run here. What it lacks is a privilege and no program, so nothing demands it: a container
/// may not mount anything.
pub(crate) fn skip(why: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
