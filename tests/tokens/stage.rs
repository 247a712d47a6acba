//! Emulated APIs and a bearerd in front of them, on a clock that a test moves.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bearerd::{
    assemble::Program,
    clock::Clock,
    config::{self, Surroundings, checked::Config},
    demo::{Apis, Counts, Options, Places, config_yaml, fluent},
    manager::Status,
    serve::{self, Bound, Switch},
    store::TokenStore,
    upstream::{Exchange, Sent, Settings, Tls},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::client::{Answer, Client};

/// What a test may wait for; far more than any needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A data call of the Fluent credentials, through the route whose callers wait.
pub(crate) const PATIENT: &str = "/fluent/api/v4.1/order/1";
/// The same, through the route whose callers wait for less than the shortest back-off.
pub(crate) const IMPATIENT: &str = "/hasty/api/v4.1/order/1";

/// The APIs, the clock they share with bearerd, and a place for its state.
pub(crate) struct Stage {
    pub(crate) apis: Apis,
    pub(crate) clock: Clock,
    /// How long access tokens live.
    pub(crate) lifetime: Duration,
    folder: TempDir,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = Clock::manual();
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options {
            clock: clock.clone(),
            drip: Duration::from_millis(1),
            pause: Duration::from_millis(50),
            ca_file: Some(folder.path().join("ca.pem")),
            ..Options::default()
        };
        change(&mut options);
        let lifetime = options.token_lifetime;
        let apis = Apis::start(options).await.unwrap();
        Self {
            apis,
            clock,
            lifetime,
            folder,
        }
    }

    /// The config of `bearerd demo`: all presets.
    pub(crate) fn every_preset(&self) -> String {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config_yaml(
            &self.apis,
            &Places {
                ca: &self.path("ca.pem"),
                state: &self.path("state.db"),
                listener: any,
                probes: any,
                admin: any,
            },
        )
    }

    /// A config with this credential for Fluent, and [`PATIENT`] and [`IMPATIENT`] callers.
    pub(crate) fn fluent(&self, credential: &str) -> String {
        format!(
            r#"
listeners: {{ main: {{ bind: "127.0.0.1:0" }} }}
state: {{ store: sqlite, path: "{state}" }}
tls: {{ ca: "{ca}" }}
credentials:
  fluent: {credential}
upstreams:
  fluent: {{ url: "{url}", credential: fluent }}
routes:
  fluent: {{ prefix: /fluent, upstream: fluent, token_timeout: 30s }}
  hasty: {{ prefix: /hasty, upstream: fluent, token_timeout: 800ms }}
"#,
            state = self.path("state.db").display(),
            ca = self.path("ca.pem").display(),
            url = self.apis.fluent().base_url(),
        )
    }

    /// Fluent's preset, with these settings besides: it signs in by itself.
    pub(crate) fn signing_in(&self, more: &str) -> String {
        let fluent::Client { id, secret, .. } = fluent::API_CLIENT;
        self.fluent(&format!(
            r#"{{ preset: fluent-commerce, params: {{ base_url: "{}", client_id: "{id}", client_secret: "{secret}",
                username: "{}", password: "{}" }}{more} }}"#,
            self.apis.fluent().base_url(),
            fluent::USERNAME,
            fluent::PASSWORD,
        ))
    }

    /// A refresh grant that starts from a refresh token and has no way to sign in, with these settings besides.
    pub(crate) async fn seeded(&self, more: &str) -> String {
        let seed = self.refresh_token().await;
        self.fluent(&format!(
            r#"{{ seed: "{seed}", refresh: {{ request: {{ url: "{}/oauth/token", query: {{ {}, grant_type: refresh_token,
                refresh_token: "${{token:refresh}}" }} }} }}{more} }}"#,
            self.apis.fluent().base_url(),
            client_parameters(": \"", "\", "),
        ))
    }

    /// A refresh token of Fluent, got by a sign-in of the test's own.
    pub(crate) async fn refresh_token(&self) -> String {
        let exchange = Exchange::new(&Settings {
            tls: Tls {
                ca: vec![CertificateDer::from_pem_slice(self.apis.ca_pem().as_bytes()).unwrap()],
                ..Tls::default()
            },
            ..Settings::default()
        });
        let password = form_urlencoded::byte_serialize(fluent::PASSWORD.as_bytes()).collect::<String>();
        let uri = format!(
            "{}/oauth/token?grant_type=password&username={}&password={password}&{}",
            self.apis.fluent().base_url(),
            fluent::USERNAME,
            client_parameters("=", "&"),
        );
        let request = http::Request::post(uri).body(bytes::Bytes::new()).unwrap();
        let connection = exchange.unwrap().open(request.uri()).await.unwrap();
        let Sent::Answered(reply) = connection.send(request, PATIENCE, 1 << 20).await else {
            panic!("no answer");
        };
        let reply: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        reply["refresh_token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn load(&self, yaml: &str) -> Config {
        let file = self.path("bearerd.yaml");
        std::fs::write(&file, yaml).unwrap();
        let surroundings = Surroundings {
            env: BTreeMap::new(),
            read: Box::new(|path| std::fs::read(path)),
        };
        match config::load(&[file], &surroundings) {
            Ok(loaded) => loaded.config,
            Err(faults) => panic!("{faults}"),
        }
    }

    pub(crate) async fn start(&self, yaml: &str) -> Bearerd {
        let program = Program::build(self.load(yaml), self.clock.clone()).await;
        Bearerd::serve(program.unwrap()).await
    }

    /// The same over a store of the test's own.
    pub(crate) async fn start_over(&self, store: Arc<dyn TokenStore>, yaml: &str) -> Bearerd {
        let program = Program::over(store, self.load(yaml), self.clock.clone());
        Bearerd::serve(program.unwrap()).await
    }

    /// Lets the access tokens expire that were issued until now.
    pub(crate) fn expire(&self) {
        self.clock.advance(self.lifetime + Duration::from_secs(1));
    }

    pub(crate) fn fluent_counts(&self) -> Counts {
        self.apis.fluent().counts()
    }
}

/// What the demo's Fluent client says of itself in each token request.
fn client_parameters(is: &str, and: &str) -> String {
    let fluent::Client { id, secret, scope } = fluent::API_CLIENT;
    let parameters = [("client_id", id), ("client_secret", secret), ("scope", scope)];
    let mut text = parameters.map(|(name, value)| format!("{name}{is}{value}")).join(and);
    if and.starts_with('"') {
        text.push('"');
    }
    text
}

/// A running bearerd.
pub(crate) struct Bearerd {
    pub(crate) client: Client,
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
            client: Client::of(address),
            program,
            switch,
            serving,
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.client.get(target).await
    }

    /// What a caller is told who doesn't wait for back-offs. A machine that is too busy for a token within the
    /// route's `token_timeout` is no answer.
    pub(crate) async fn hasty(&self) -> Answer {
        let steady = Clock::system();
        let start = steady.monotonic();
        loop {
            let answer = self.get(IMPATIENT).await;
            if answer.code() != "token_timeout" {
                return answer;
            }
            assert!(steady.monotonic() - start < PATIENCE, "no token, and no reason why");
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.program.managers[&"fluent".parse().unwrap()].status()
    }

    pub(crate) fn metrics(&self) -> String {
        self.program.metrics.page()
    }

    /// Waits until its Fluent credential stands like this.
    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Status) -> bool) {
        eventually(what, || condition(&self.status())).await;
    }

    /// Ends it, as `bearerd run` does: whether nothing was left to save.
    pub(crate) async fn stop(mut self) -> bool {
        self.switch.start();
        drop(self.client);
        while self.serving.join_next().await.is_some() {}
        self.program.shutdown().await
    }
}

/// Waits for a condition, which nothing announces.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let steady = Clock::system();
    let start = steady.monotonic();
    while !condition() {
        assert!(steady.monotonic() - start < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
