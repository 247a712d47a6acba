//! A bearerd without a listener, a token endpoint that can be held, and an API, all on the test's own thread.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use bearerd::{
    assemble::Program,
    clock::Clock,
    config::{self, Surroundings},
    manager::Manager,
    proxy::Stack,
    upstream::Body,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::watch};

/// All of it.
pub(crate) struct World {
    pub(crate) clock: Clock,
    program: Program,
    released: watch::Sender<bool>,
    token_requests: Arc<AtomicI64>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (released, held) = watch::channel(false);
        let token_requests = Arc::new(AtomicI64::new(0));
        let asked = token_requests.clone();
        let endpoint = serve(move |_| {
            asked.fetch_add(1, Ordering::Relaxed);
            let mut held = held.clone();
            async move {
                held.wait_for(|released| *released).await.unwrap();
                r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#
            }
        })
        .await;
        let api = serve(|_| async { "{}" }).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bearerd.yaml");
        let yaml = format!(
            r#"
listeners: {{ main: {{ bind: "127.0.0.1:0" }} }}
state: {{ store: memory }}
credentials:
  c: {{ grant: {{ type: client_credentials, token_url: "http://{endpoint}/token", client_id: a, client_secret: b }} }}
upstreams:
  api: {{ url: "http://{api}", credential: c }}
routes:
  api: {{ upstream: api, token_timeout: 5m }}
"#
        );
        std::fs::write(&file, yaml).unwrap();
        let surroundings = Surroundings {
            env: BTreeMap::new(),
            read: Box::new(|path| std::fs::read(path)),
        };
        let loaded = config::load(&[file], &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
        let clock = Clock::manual();
        Self {
            program: Program::build(loaded.config, clock.clone()).await.unwrap(),
            clock,
            released,
            token_requests,
            _folder: folder,
        }
    }

    pub(crate) fn stack(&self) -> Stack {
        self.program.listeners[0].2.clone()
    }

    pub(crate) fn manager(&self) -> &Manager {
        self.program.managers.values().next().unwrap()
    }

    pub(crate) fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::default());
        *request.uri_mut() = "/orders/1".parse().unwrap();
        request.headers_mut().insert("host", "localhost".parse().unwrap());
        request
    }

    /// From now on the token endpoint answers at once, whoever waits for it too.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// From now on it answers nobody.
    pub(crate) fn hold(&self) {
        self.released.send_replace(false);
    }

    /// Waits until it has been asked so often.
    pub(crate) async fn asked(&self, count: i64) {
        while self.token_requests() < count {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn token_requests(&self) -> i64 {
        self.token_requests.load(Ordering::Relaxed)
    }
}

/// Answers each request with what comes of it, on a connection of its own.
async fn serve<F>(answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static) -> SocketAddr
where
    F: Future<Output = &'static str> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let text = answer(request);
                async move {
                    let body = Full::new(Bytes::from_static(text.await.as_bytes()));
                    let answer = Response::builder().header("content-type", "application/json");
                    Ok::<_, Infallible>(answer.body(body).unwrap())
                }
            });
            let mut connection = http1::Builder::new();
            connection.keep_alive(false);
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// Allows this many open files, or as many as may be allowed.
pub(crate) fn descriptors(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let raised = Rlimit {
        current: Some(most.max(limit.current.unwrap_or(most))),
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}
