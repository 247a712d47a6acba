//! bearerd with its listeners, an API behind it, and a web site of somebody else's.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bearerd::{
    admin::{Admin, Overview},
    assemble::Program,
    clock::Clock,
    config::{Surroundings, load},
    proxy::Connection,
    serve::{self, Bound, Switch},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower::Service;

use crate::page;

/// A request that reached one of bearerd's listeners, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// `proxy` or `admin`.
    pub(crate) listener: &'static str,
    pub(crate) method: String,
    /// The last segment of its path: which of the page's tries it is.
    pub(crate) name: String,
    /// The Host field.
    pub(crate) host: String,
    /// bearerd's own code, where it answered itself.
    pub(crate) code: Option<String>,
    /// What the browser said of it.
    pub(crate) marks: String,
}

/// All of it. Dropping it ends the servers.
pub(crate) struct World {
    pub(crate) proxy: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) site: SocketAddr,
    /// The site's second address, which becomes bearerd's once [`page::REBIND`] was asked for.
    pub(crate) rebound: SocketAddr,
    /// What reached the API: its method and path.
    pub(crate) api: watch::Receiver<Vec<String>>,
    pub(crate) arrived: watch::Receiver<Vec<Arrived>>,
    /// What the pages told their own site.
    pub(crate) told: watch::Receiver<Vec<String>>,
    _switch: Switch,
    _program: Program,
}

/// How long a browser may take to start and to run its page, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the list satisfies this; panics with it when it never does.
pub(crate) async fn until<T: Clone + std::fmt::Debug>(
    list: &watch::Receiver<Vec<T>>,
    enough: impl Fn(&[T]) -> bool,
) -> Vec<T> {
    let mut list = list.clone();
    let waited = tokio::time::timeout(PATIENCE, list.wait_for(|list| enough(list)))
        .await
        .is_ok();
    let seen = list.borrow().clone();
    assert!(waited, "it never came; there is {seen:#?}");
    seen
}

impl World {
    pub(crate) async fn new() -> Self {
        let (api_sender, api) = watch::channel(Vec::new());
        let (upstream, api_sender) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(api_sender));
        let upstream_address = upstream.local_addr().unwrap();
        tokio::spawn(http(upstream, move |request| {
            let call = format!("{} {}", request.method(), request.uri().path());
            api_sender.send_modify(|calls| calls.push(call));
            match request.uri().path() {
                "/page" => html(page::OWN),
                _ => html("fine"),
            }
        }));
        let config = format!(
            "listeners: {{ main: {{ bind: \"127.0.0.1:0\" }} }}\n\
             admin: {{ bind: \"127.0.0.1:0\" }}\n\
             state: {{ store: memory }}\n\
             credentials:\n  key: {{ grant: {{ type: static, token: canary }} }}\n\
             upstreams:\n  api: {{ url: \"http://{upstream_address}\", credential: key }}\n\
             routes:\n  api: {{ prefix: /api, upstream: api }}\n  everything: {{ upstream: api }}\n"
        );
        let surroundings = Surroundings {
            env: Default::default(),
            read: Box::new(move |_: &Path| Ok(config.clone().into_bytes())),
        };
        let loaded = load(&[PathBuf::from("bearerd.yaml")], &surroundings).unwrap_or_else(|faults| panic!("{faults}"));
        let clock = Clock::system();
        let mut program = Program::build(loaded.config, clock.clone()).await.unwrap();
        let (switch, drain) = Switch::new();
        let (sender, arrived) = watch::channel(Vec::new());
        let sender = Arc::new(sender);

        let (listener, _, stack) = program.listeners.remove(0);
        let bound = Bound::bind(&listener.bind).await.unwrap();
        let proxy = bound.tcp_address().unwrap();
        let arrived_at_proxy = sender.clone();
        let services = move |connection| Recorded {
            inner: stack.of(connection),
            listener: "proxy",
            arrived: arrived_at_proxy.clone(),
        };
        tokio::spawn(serve::serve(bound, services, serve::Options::default(), drain.clone()));

        let bound = Bound::bind(&program.admin.clone().unwrap()).await.unwrap();
        let admin = bound.tcp_address().unwrap();
        let overview = Overview::new(program.managers.clone(), program.metrics.clone(), clock);
        let actions = Admin::new(Arc::new(overview));
        let services = move |connection: Connection| Recorded {
            inner: actions.of(&connection),
            listener: "admin",
            arrived: sender.clone(),
        };
        tokio::spawn(serve::serve(bound, services, serve::Options::default(), drain));

        let (site, rebound, told) = site(proxy, admin).await;
        Self {
            proxy,
            admin,
            site,
            rebound,
            api,
            arrived,
            told,
            _switch: switch,
            _program: program,
        }
    }
}

/// Somebody else's web site, at two addresses. The second stops being its own when its page asks for that, as a name
/// does whose owner changes its address.
async fn site(proxy: SocketAddr, admin: SocketAddr) -> (SocketAddr, SocketAddr, watch::Receiver<Vec<String>>) {
    let (sender, told) = watch::channel(Vec::new());
    let sender = Arc::new(sender);
    let is_rebound = Arc::new(AtomicBool::new(false));
    let flag = is_rebound.clone();
    let answer = move |request: &Request<Incoming>| {
        let path = request.uri().path();
        match path {
            "/attack" => html(
                page::ATTACK
                    .replace("PROXY", &proxy.port().to_string())
                    .replace("ADMIN", &admin.port().to_string()),
            ),
            "/rebound" => html(page::REBOUND),
            page::REBIND => {
                flag.store(true, Ordering::SeqCst);
                html("done")
            }
            "/redirect" => {
                let to = request.uri().query().unwrap_or_default();
                let to = percent_encoding::percent_decode_str(to)
                    .decode_utf8()
                    .unwrap()
                    .into_owned();
                Response::builder()
                    .status(307)
                    .header("location", to)
                    .body(Full::default())
                    .unwrap()
            }
            _ => {
                sender.send_modify(|told| told.push(path.to_owned()));
                html("heard")
            }
        }
    };
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = (first.local_addr().unwrap(), second.local_addr().unwrap(), told);
    let site = addresses.0;
    tokio::spawn(http(first, move |request| answer(&request)));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = second.accept().await {
            let to = if is_rebound.load(Ordering::SeqCst) { proxy } else { site };
            tokio::spawn(async move {
                let mut onward = TcpStream::connect(to).await.unwrap();
                tokio::io::copy_bidirectional(&mut stream, &mut onward).await
            });
        }
    });
    addresses
}

/// Serves each request by this, on a connection of its own.
async fn http<F>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> Response<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request);
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::spawn(
            http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

fn html(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .header("content-type", "text/html")
        .body(Full::new(text.into()))
        .unwrap()
}

/// Writes down what reaches a listener, and its answer's code.
#[derive(Clone)]
struct Recorded<S> {
    inner: S,
    listener: &'static str,
    arrived: Arc<watch::Sender<Vec<Arrived>>>,
}

impl<S, B> Service<Request<Incoming>> for Recorded<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let of = |name: &str| {
            let value = request.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let marks = ["origin", "sec-fetch-site", "sec-fetch-mode", "referer"];
        let marks: Vec<_> = marks
            .iter()
            .filter_map(|mark| Some(format!("{mark}: {}", of(mark)?)))
            .collect();
        let mut arrived = Arrived {
            listener: self.listener,
            method: request.method().to_string(),
            name: request.uri().path().rsplit('/').next().unwrap_or_default().to_owned(),
            host: of("host").unwrap_or_default(),
            code: None,
            marks: marks.join(", "),
        };
        let list = self.arrived.clone();
        let answering = self.inner.call(request);
        Box::pin(async move {
            let answer = answering.await?;
            let code = answer.headers().get("x-bearerd-error");
            arrived.code = code.map(|code| code.to_str().unwrap().to_owned());
            list.send_modify(|list| list.push(arrived));
            Ok(answer)
        })
    }
}

/// A lock around browsers: several at a time would only make each other slow.
pub(crate) static ONE_BROWSER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
