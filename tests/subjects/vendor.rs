//! A vendor that exchanges users' tokens for tenants' access tokens, and whose API says whose token it got.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::{net::TcpListener, sync::watch};

/// Users whose token starts like this are refused.
pub(crate) const REFUSED: &str = "refused";
/// Token requests of users whose token starts like this are held until [`Vendor::let_go`].
pub(crate) const HELD: &str = "held";

/// How long its access tokens live, in seconds.
pub(crate) const LIFETIME: u64 = 1800;

/// What one vendor saw. Clones share it.
#[derive(Clone)]
pub(crate) struct Vendor {
    pub(crate) address: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    name: &'static str,
    /// Token requests by user token and tenant, as they arrived.
    exchanges: Mutex<HashMap<(String, String), usize>>,
    /// The targets of token requests.
    targets: Mutex<Vec<String>>,
    held: AtomicUsize,
    exchanging: AtomicUsize,
    most_exchanging: AtomicUsize,
    gate: watch::Sender<bool>,
    /// API requests.
    calls: AtomicUsize,
    /// API requests that nobody should have sent: another vendor's or tenant's token, no token, the user's own.
    wrong: Mutex<Vec<String>>,
}

impl Vendor {
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let vendor = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::new(Seen {
                name,
                exchanges: Mutex::default(),
                targets: Mutex::default(),
                held: AtomicUsize::new(0),
                exchanging: AtomicUsize::new(0),
                most_exchanging: AtomicUsize::new(0),
                gate: watch::Sender::new(false),
                calls: AtomicUsize::new(0),
                wrong: Mutex::default(),
            }),
        };
        let seen = vendor.seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = seen.clone();
                let service = service_fn(move |request| {
                    let seen = seen.clone();
                    async move { Ok::<_, Infallible>(seen.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        vendor
    }

    /// How often a subject's user token was exchanged.
    pub(crate) fn exchanges(&self, user: &str, tenant: &str) -> usize {
        let exchanges = self.seen.exchanges.lock().unwrap();
        exchanges.get(&(user.into(), tenant.into())).copied().unwrap_or(0)
    }

    pub(crate) fn all_exchanges(&self) -> usize {
        self.seen.exchanges.lock().unwrap().values().sum()
    }

    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen.targets.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen.calls.load(Ordering::SeqCst)
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        self.seen.wrong.lock().unwrap().clone()
    }

    /// The most token requests that were under way at a time.
    pub(crate) fn most_exchanging(&self) -> usize {
        self.seen.most_exchanging.load(Ordering::SeqCst)
    }

    /// Returns once so many token requests are held.
    pub(crate) async fn holds(&self, count: usize) {
        while self.seen.held.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }

    /// Lets the held token requests go.
    pub(crate) fn let_go(&self) {
        self.seen.gate.send_replace(true);
    }
}

impl Seen {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match segments[..] {
            ["v2", "tenants", tenant, "account"] => self.exchange(&request, &decoded(tenant)).await,
            ["v2", "tenants", tenant, "echo"] => self.echo(&request, &decoded(tenant)),
            _ => {
                self.targets.lock().unwrap().push(request.uri().to_string());
                text(StatusCode::NOT_FOUND, "no such place")
            }
        }
    }

    async fn exchange(&self, request: &Request<Incoming>, tenant: &str) -> Response<Full<Bytes>> {
        let user = bearer(request);
        self.targets.lock().unwrap().push(request.uri().to_string());
        let now = self.exchanging.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_exchanging.fetch_max(now, Ordering::SeqCst);
        *self
            .exchanges
            .lock()
            .unwrap()
            .entry((user.clone(), tenant.into()))
            .or_default() += 1;
        if user.starts_with(HELD) {
            self.held.fetch_add(1, Ordering::SeqCst);
            let _ = self.gate.subscribe().wait_for(|open| *open).await;
        }
        self.exchanging.fetch_sub(1, Ordering::SeqCst);
        if user.starts_with(REFUSED) {
            return text(StatusCode::UNAUTHORIZED, "who are you?");
        }
        // The token says whose it is, so that the API needs no memory that could be wrong too.
        let of = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let token = format!("{}~{}~{}", self.name, of(&user), of(tenant));
        let body = format!(r#"{{"access_token":"{token}","expires_in":{LIFETIME}}}"#);
        text(StatusCode::OK, body)
    }

    fn echo(&self, request: &Request<Incoming>, tenant: &str) -> Response<Full<Bytes>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let token = bearer(request);
        let parts: Vec<String> = token.split('~').map(decoded).collect();
        let carries_the_user = request.headers().contains_key("x-flow-user-token");
        match &parts[..] {
            [name, user, of] if *name == self.name && of == tenant && !carries_the_user => {
                text(StatusCode::OK, format!("{name} {user} {of}"))
            }
            _ => {
                self.wrong.lock().unwrap().push(format!("{token} at {tenant}"));
                text(StatusCode::CONFLICT, "not yours")
            }
        }
    }
}

fn bearer(request: &Request<Incoming>) -> String {
    let value = request.headers().get("authorization").map(|value| value.as_bytes());
    let value = std::str::from_utf8(value.unwrap_or_default()).unwrap();
    value.strip_prefix("Bearer ").unwrap_or_default().to_owned()
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}
