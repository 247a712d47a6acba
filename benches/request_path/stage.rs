//! What the benchmarks act on: a config, its router, and layers over a service that answers at once.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpListener,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use arc_swap::ArcSwap;
use bearerd::{
    assemble::open_store,
    clock::Clock,
    config::{self, Surroundings, checked},
    manager::{Environment, Manager},
    metrics::Metrics,
    name::CredentialName,
    proxy::{Address, Connection, Inbound, Router, Target},
    upstream::{Body, Client, Exchange, Settings},
};
use bytes::Bytes;
use http::{Request, Version, header::HOST};
use http_body_util::{BodyExt, Empty, Full};
use tokio::runtime::Runtime;

/// What is asked for wherever a path matters.
pub(crate) const PATH: &str = "/api/orders/1001";

/// Everything of a config but its listeners.
pub(crate) struct Stage {
    pub(crate) runtime: Runtime,
    pub(crate) router: Arc<ArcSwap<Router>>,
    pub(crate) managers: BTreeMap<CredentialName, Manager>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
}

impl Stage {
    /// With this many routes, of which the first is `/api`.
    pub(crate) fn new(routes: usize) -> Self {
        let runtime = Runtime::new().unwrap();
        let (clock, metrics) = (Clock::system(), Arc::new(Metrics::new()));
        let config = load(routes);
        let router;
        let managers: BTreeMap<_, _>;
        {
            let _within = runtime.enter();
            let store = runtime.block_on(open_store(&config, &clock)).unwrap();
            let (environment, closing) = Environment::new(store, clock.clone(), metrics.clone());
            // Its tasks run for as long as the process does.
            std::mem::forget(closing);
            managers = config
                .credentials
                .iter()
                .map(|(name, credential)| {
                    let exchange = Exchange::new(&Settings::default()).unwrap();
                    let manager = Manager::start(credential.spec.clone(), exchange, environment.clone());
                    (name.clone(), manager.unwrap())
                })
                .collect();
            let target = |(name, upstream): (_, &checked::Upstream)| {
                let client = Client::new(&Settings::default(), &upstream.url.origin()).unwrap();
                let target = Target {
                    name: Clone::clone(name),
                    base: upstream.url.clone(),
                    host: client.host().clone(),
                    limits: bearerd::proxy::Limits::default(),
                    client,
                };
                (target.name.clone(), Arc::new(target))
            };
            let targets = config.upstreams.iter().map(target).collect();
            let (name, listener) = config.listeners.first_key_value().unwrap();
            router = Router::new(name, listener, &config.routes, &targets, &managers).unwrap();
        }
        Self {
            runtime,
            router: Arc::new(ArcSwap::from_pointee(router)),
            managers,
            metrics,
            clock,
        }
    }

    pub(crate) fn manager(&self, credential: &str) -> &Manager {
        &self.managers[&credential.parse().unwrap()]
    }
}

fn load(routes: usize) -> checked::Config {
    let others: String = (1..routes)
        .map(|nth| format!("  r{nth}: {{ prefix: /r{nth}, upstream: api }}\n"))
        .collect();
    let text = format!(
        r#"
listeners: {{ main: {{ bind: "127.0.0.1:8080" }} }}
state: {{ store: memory }}
credentials:
  api:
    grant: {{ type: client_credentials, token_url: "http://{}/token", client_id: benches, client_secret: benches }}
upstreams:
  api: {{ url: "https://api.example/v2", credential: api }}
routes:
  api: {{ prefix: /api, upstream: api }}
{others}"#,
        token_endpoint()
    );
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        read: Box::new(move |_| Ok(text.clone().into_bytes())),
    };
    config::load(&[PathBuf::from("bearerd.yaml")], &surroundings)
        .unwrap()
        .config
}

/// A token endpoint that gives everybody a token; its thread ends with the process.
fn token_endpoint() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let token = format!(
            r#"{{"access_token":"{}","token_type":"Bearer","expires_in":86400}}"#,
            "t".repeat(64)
        );
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = Vec::new();
            // The client's whole form is this short, and its secret is last.
            while !asked.ends_with(b"=benches") && !asked.ends_with(b"=client_credentials") {
                let mut piece = [0; 4096];
                match stream.read(&mut piece) {
                    Ok(0) | Err(_) => break,
                    Ok(read) => asked.extend_from_slice(&piece[..read]),
                }
            }
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}",
                token.len()
            );
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

/// A request as the stack takes it from an ordinary client.
pub(crate) fn request(body: Body) -> Inbound<Body> {
    let request = Request::builder()
        .uri(PATH)
        .version(Version::HTTP_11)
        .header(HOST, "127.0.0.1:8080")
        .header("user-agent", "erp/2.1")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip")
        .body(body)
        .unwrap();
    let address = Address::Tcp(([127, 0, 0, 1], 8080).into());
    let connection = Connection {
        local: address,
        peer: address,
        tls: false,
        proof: bearerd::proxy::Proof::default(),
    };
    Inbound::new(request, Some(Arc::new(connection)))
}

pub(crate) fn empty() -> Body {
    Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(bytes: &Bytes) -> Body {
    Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()
}

/// Runs what never waits.
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits"),
    }
}
