//! An upstream and a listener on loopback, and callers that speak raw HTTP to it.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, LazyLock, Mutex},
    time::Duration,
};

use arc_swap::ArcSwap;
use bearerd::{
    clock::Clock,
    config::checked,
    credential::{
        Spec,
        placement::{Injection, Placement},
        reply::ErrorRules,
        spec::{Fingerprint, Policy, SubjectPart},
    },
    manager::{Manager, TokenHandle},
    metrics::Metrics,
    proxy::{Address, Connection, ListenerContext, Router, Target, stack},
    template::{Part, Scope, Template},
    upstream::{Body, Client, Settings},
};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::Service;

/// The token that every credential here holds.
pub(crate) const TOKEN: &str = "canary-token";

const SESSION: http::HeaderName = http::HeaderName::from_static("x-session");

/// What every test of this binary logs, at every level. One subscriber for all threads: tracing asks a call site's
/// subscribers once, on whichever thread comes first.
pub(crate) static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("bearerd=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    log
});

/// A log in memory.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A proxy in front of an upstream that answers by a closure.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) upstream: SocketAddr,
    pub(crate) metrics: Arc<Metrics>,
}

/// A request as the upstream got it.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) target: String,
    pub(crate) headers: http::HeaderMap,
}

impl Arrived {
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .get_all(name)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect()
    }
}

pub(crate) fn spec(name: &str, placement: Placement) -> Spec {
    Spec {
        name: name.parse().unwrap(),
        fixed: Some(TOKEN.into()),
        sign_in: None,
        browser: None,
        refresh: None,
        steps: vec![],
        seed: None,
        ask: vec![],
        placement,
        subject: vec![],
        errors: ErrorRules {
            code: vec![],
            text: vec![],
            dead: vec![],
            subject: vec![],
            login: vec![],
            unspent: vec![],
            hints: vec![],
        },
        rejected: vec![],
        policy: Policy::default(),
        fingerprint: Fingerprint::of([]),
    }
}

fn route(name: &str, credential: Option<&str>) -> checked::Route {
    checked::Route {
        name: name.parse().unwrap(),
        listener: None,
        host: None,
        prefix: format!("/{name}"),
        path: None,
        methods: vec![],
        allow: vec![],
        callers: vec![],
        upstream: "api".parse().unwrap(),
        credential: credential.map(|name| name.parse().unwrap()),
        subject_headers: vec![],
        told: checked::Told::default(),
        headers: vec![],
        // Longer than any test: one that waits for it has failed.
        token_timeout: Duration::from_secs(3600),
    }
}

fn bearer() -> Injection {
    let mut value = http::HeaderValue::try_from(format!("Bearer {TOKEN}")).unwrap();
    value.set_sensitive(true);
    Injection::Header(http::header::AUTHORIZATION, value)
}

/// Routes `/bearer`, `/session`, `/key`, `/form` and `/plain`, each with the placement of its name, and
/// `/user/{token}/reasons/{id}`, whose credential's subject is in the path.
pub(crate) fn router(upstream: SocketAddr) -> Router {
    let bearer_placement = Placement::Header {
        name: http::header::AUTHORIZATION,
        value: Template::written("unused"),
    };
    let (name, pair): (Arc<str>, _) = ("api_key".into(), Arc::new(format!("api_key={TOKEN}").into()));
    let query = Injection::Query {
        name: name.clone(),
        pair: Arc::clone(&pair),
    };
    let session_placement = Placement::Header {
        name: SESSION,
        value: Template::written("unused"),
    };
    let session = Injection::Header(SESSION, http::HeaderValue::from_static(TOKEN));
    let managers = [
        (spec("bearer", bearer_placement.clone()), bearer()),
        (spec("user", bearer_placement), bearer()),
        (spec("session", session_placement), session),
        (spec("key", Placement::Query("api_key".into())), query),
        (
            spec("form", Placement::Form("api_key".into())),
            Injection::Form { name, pair },
        ),
    ]
    .map(|(mut spec, injection)| {
        let name = spec.name.clone();
        if name.as_str() == "user" {
            spec.subject = vec![SubjectPart {
                name: "token".into(),
                from: Template::new(vec![Part::Reference(Scope::Path, "token".into())]),
            }];
        }
        (name, Manager::fixed(Arc::new(spec), TokenHandle::fixed(injection)))
    });
    let base = checked::BaseUrl {
        scheme: http::uri::Scheme::HTTP,
        authority: upstream.to_string().parse().unwrap(),
        path: "/v2".into(),
    };
    let client = Client::new(&Settings::default(), &base.origin()).unwrap();
    let target = Target {
        name: "api".parse().unwrap(),
        host: client.host().clone(),
        limits: bearerd::proxy::Limits::default(),
        client,
        base,
    };
    let listener = checked::Listener::at(checked::Bind::Tcp(([127, 0, 0, 1], 0).into()));
    Router::new(
        &"main".parse().unwrap(),
        &listener,
        &[
            route("bearer", Some("bearer")),
            route("session", Some("session")),
            route("key", Some("key")),
            route("form", Some("form")),
            route("plain", None),
            checked::Route {
                path: Some("/{token}/reasons/{id}".into()),
                methods: vec![http::Method::GET],
                ..route("user", Some("user"))
            },
        ],
        &BTreeMap::from([(target.name.clone(), Arc::new(target))]),
        &BTreeMap::from(managers),
    )
    .unwrap()
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Serves the stack in front of this address.
pub(crate) async fn listen(upstream: SocketAddr) -> World {
    LazyLock::force(&LOG);
    let metrics = Arc::new(Metrics::new());
    let stack = stack(ListenerContext {
        name: "main".parse().unwrap(),
        router: Arc::new(ArcSwap::from_pointee(router(upstream))),
        metrics: metrics.clone(),
        clock: Clock::system(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let connection = Connection {
                local: Address::Tcp(address),
                peer: Address::Tcp(peer),
                tls: false,
                proof: bearerd::proxy::Proof::default(),
            };
            let stack = stack.of(connection);
            let service = service_fn(move |request: Request<Incoming>| {
                let answer: Answer = Box::pin(stack.clone().call(request));
                answer
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                builder.serve_connection(TokioIo::new(stream), service).await
            });
        }
    });
    World {
        address,
        upstream,
        metrics,
    }
}

/// A world whose upstream answers like this.
pub(crate) async fn world<F, R>(answer: F) -> World
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    listen(upstream).await
}

/// A world whose upstream writes down what arrives, and answers 200 to everything.
pub(crate) async fn recording() -> (World, Arc<Mutex<Vec<Arrived>>>) {
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let record = arrived.clone();
    let world = world(move |request: Request<Incoming>| {
        let record = record.clone();
        async move {
            record.lock().unwrap().push(Arrived {
                target: request.uri().to_string(),
                headers: request.headers().clone(),
            });
            Response::new(Body::default())
        }
    })
    .await;
    (world, arrived)
}

impl World {
    /// Sends these bytes, and returns everything that comes back until the connection ends.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = request.replace("ADDRESS", &self.address.to_string());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}
