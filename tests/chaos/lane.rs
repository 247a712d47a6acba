//! An authorization server, and the place that bearerds of one config share.

use std::{path::PathBuf, time::Duration};

use bearerd::{
    clock::Clock,
    demo::{Api, Apis, Counts, Options, fluent},
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

use crate::{
    blow::Blow,
    point::{Point, Setup},
    process::Process,
    servers,
    time::Setting,
};

/// How long a claim stands: `BEARERD_CHAOS_LEASE`, in milliseconds, or four seconds. A spend may take half of it: on a
/// machine so busy that the authorization server takes longer, answers are lost that nobody has dropped.
pub(crate) fn lease() -> Duration {
    let asked = std::env::var("BEARERD_CHAOS_LEASE").ok();
    let asked = asked.map(|lease| lease.parse().expect("BEARERD_CHAOS_LEASE is a number of milliseconds"));
    Duration::from_millis(asked.unwrap_or(4_000))
}

/// The provider's grace, where it has one: longer than the lease and a restart on the slowest machine.
const GRACE: Duration = Duration::from_secs(300);
/// How long a reply in two chunks pauses: within a spend's time.
pub(crate) const PAUSE: Duration = Duration::from_millis(400);
/// Longer than any test: tokens end at the moment that a test wants.
pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

/// A store that lanes may share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres(u16),
    Redis(u16),
}

/// One authorization server, one credential, one record in a store.
pub(crate) struct Lane {
    pub(crate) setup: Setup,
    apis: Apis,
    folder: TempDir,
    store: Store,
    /// The credential's name: lanes that share a store have records of their own.
    name: String,
    seed: Option<String>,
    client: Client<HttpConnector, Full<Bytes>>,
    /// The server's clock, and that of the processes, where both can be set forward.
    clocks: Option<(Clock, Setting)>,
}

impl Lane {
    /// One where tokens end when they are revoked.
    pub(crate) async fn new(setup: Setup, store: Store, number: usize) -> Self {
        Self::with(setup, store, number, None).await
    }

    /// One where tokens end when [`Lane::expire`] says so.
    pub(crate) async fn expiring(setup: Setup, store: Store, number: usize) -> Self {
        Self::with(setup, store, number, Some((Clock::manual(), Setting::now()))).await
    }

    async fn with(setup: Setup, store: Store, number: usize, clocks: Option<(Clock, Setting)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let apis = Apis::start(Options {
            clock: clocks.as_ref().map_or_else(Clock::system, |(clock, _)| clock.clone()),
            token_lifetime: LIFETIME,
            grace: if setup == Setup::Grace { GRACE } else { Duration::ZERO },
            drip: Duration::from_millis(50),
            pause: PAUSE,
            ca_file: Some(folder.path().join("ca.pem")),
            ..Options::default()
        });
        let mut lane = Self {
            setup,
            apis: apis.await.unwrap(),
            folder,
            store,
            name: format!("{setup}_{number}").replace('-', "_"),
            seed: None,
            client: Client::builder(TokioExecutor::new()).build(HttpConnector::new()),
            clocks,
        };
        lane.reseed().await;
        lane
    }

    pub(crate) fn api(&self) -> &Api {
        self.apis.fluent()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.api().counts()
    }

    /// Gives the config a new refresh token, where it has no other way to sign in: what a person would do.
    pub(crate) async fn reseed(&mut self) {
        if self.setup != Setup::SignIn {
            self.seed = Some(self.sign_in().await);
        }
        std::fs::write(self.config(), self.yaml()).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("bearerd.yaml")
    }

    /// Starts a process, which may be hit at this point.
    pub(crate) async fn launch(&self, armed: Option<(Blow, Point)>) -> Process {
        let setting = self.clocks.as_ref().map(|(_, setting)| *setting);
        Process::start(&self.config(), armed, setting).await
    }

    /// Sets the clocks forward, the server's first, until every token has expired. Nobody may be calling.
    pub(crate) async fn expire(&mut self, processes: &mut [Process]) {
        self.forward(LIFETIME + Duration::from_secs(1), processes).await;
    }

    /// Sets the clocks forward, the server's first.
    pub(crate) async fn forward(&mut self, span: Duration, processes: &mut [Process]) {
        let (clock, setting) = self.clocks.as_mut().expect("a lane that is `expiring`");
        clock.advance(span);
        setting.forward += span;
        for process in processes {
            process.forward(span).await;
        }
    }

    /// Steps the wall clocks of the processes, and of those that join. The server's goes on.
    pub(crate) async fn step(&mut self, millis: i64, processes: &mut [Process]) {
        let (_, setting) = self.clocks.as_mut().expect("a lane that is `expiring`");
        setting.stepped += millis;
        for process in processes {
            process.step(millis).await;
        }
    }

    /// Starts a process that nothing happens to, and waits for its first good answer.
    pub(crate) async fn start(&self) -> Process {
        let mut process = self.launch(None).await;
        let answer = self.ask(&process).await;
        assert_eq!(answer, "200", "the first request; the process: {}", process.end());
        process
    }

    /// The answer to a data call: `200`, or status and code of bearerd's own, or `cut off`.
    pub(crate) async fn ask(&self, process: &Process) -> String {
        match process.address {
            Some(address) => ask(self.client.clone(), address).await,
            None => "cut off".into(),
        }
    }

    /// The same, beside whatever the test does.
    pub(crate) fn asking(&self, process: &Process) -> tokio::task::JoinHandle<String> {
        tokio::spawn(ask(self.client.clone(), process.address.unwrap()))
    }

    fn state(&self) -> String {
        let keys = "keys: [\"0123456789-0123456789-0123456789\"]";
        let password = servers::PASSWORD;
        match self.store {
            Store::Sqlite => format!(
                "store: sqlite, path: \"{}\", {keys}",
                self.folder.path().join("state.db").display()
            ),
            Store::Postgres(port) => format!(
                "store: postgres, url: \"postgres://bearerd@127.0.0.1:{port}/postgres\", password: {password}, {keys}"
            ),
            Store::Redis(port) => {
                format!("store: redis, url: \"redis://127.0.0.1:{port}\", password: {password}, {keys}")
            }
        }
    }

    fn yaml(&self) -> String {
        let url = self.api().base_url();
        let fluent::Client { id, secret, scope } = fluent::API_CLIENT;
        let grants = match &self.seed {
            None => format!(
                "preset: fluent-commerce, params: {{ base_url: \"{url}\", client_id: \"{id}\", \
                 client_secret: \"{secret}\", username: \"{}\", password: \"{}\" }}",
                fluent::USERNAME,
                fluent::PASSWORD,
            ),
            Some(seed) => format!(
                "seed: \"{seed}\", refresh: {{ request: {{ url: \"{url}/oauth/token\", query: {{ client_id: \"{id}\", \
                 client_secret: \"{secret}\", scope: \"{scope}\", grant_type: refresh_token, \
                 refresh_token: \"${{token:refresh}}\" }} }} }}"
            ),
        };
        let grace = match self.setup {
            Setup::Grace => format!(", grace: {}s", GRACE.as_secs()),
            _ => String::new(),
        };
        format!(
            r#"
listeners: {{ main: {{ bind: "127.0.0.1:0" }} }}
state: {{ {state} }}
tls: {{ ca: "{ca}" }}
credentials:
  {name}: {{ {grants}, spend_deadline: {deadline}ms, lease: {lease}ms{grace} }}
upstreams:
  fluent: {{ url: "{url}", credential: {name} }}
routes:
  fluent: {{ prefix: /fluent, upstream: fluent, token_timeout: 50s }}
"#,
            state = self.state(),
            ca = self.folder.path().join("ca.pem").display(),
            name = self.name,
            deadline = lease().as_millis() / 2,
            lease = lease().as_millis(),
        )
    }

    /// A refresh token, got by a sign-in of the test's own.
    async fn sign_in(&self) -> String {
        let exchange = Exchange::new(&Settings {
            tls: Tls {
                ca: vec![CertificateDer::from_pem_slice(self.apis.ca_pem().as_bytes()).unwrap()],
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
        let uri = format!("{}/oauth/token?{query}", self.api().base_url());
        let request = http::Request::post(uri).body(Bytes::new()).unwrap();
        let connection = exchange.unwrap().open(request.uri()).await.unwrap();
        let Sent::Answered(reply) = connection.send(request, Duration::from_secs(60), 1 << 20).await else {
            panic!("no answer");
        };
        let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        reply["refresh_token"].as_str().unwrap().to_owned()
    }
}

async fn ask(client: Client<HttpConnector, Full<Bytes>>, address: std::net::SocketAddr) -> String {
    let uri = format!("http://{address}/fluent/api/v4.1/order/1").parse().unwrap();
    let Ok(answer) = client.get(uri).await else {
        return "cut off".into();
    };
    let (head, body) = answer.into_parts();
    if body.collect().await.is_err() {
        return "cut off".into();
    }
    let code = head.headers.get("x-bearerd-error").and_then(|code| code.to_str().ok());
    format!("{} {}", head.status.as_u16(), code.unwrap_or_default())
        .trim_end()
        .to_owned()
}
