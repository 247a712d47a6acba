//! The config as the program uses it: every reference resolved, every value parsed.

mod listener;

use std::{collections::BTreeMap, net::SocketAddr, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use http::{Method, uri::Scheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

pub use listener::{Access, Caller, Callers, KeyDigest, Listener, ListenerTls, Shown};

use crate::{
    credential::Spec,
    name::{CallerName, CredentialName, ListenerName, RouteName, UpstreamName},
    template::Template,
};

/// A whole config.
#[derive(Debug)]
pub struct Config {
    /// Where applications connect to; at least one.
    pub listeners: BTreeMap<ListenerName, Listener>,
    /// `/livez`, `/readyz` and `/metrics`.
    pub probes: Option<Bind>,
    /// The status page and its actions: loopback or a Unix socket.
    pub admin: Option<Bind>,
    /// Where chains and claims live.
    pub state: State,
    /// What they are sealed with there: the first seals, each opens. None: they are kept plain.
    pub state_keys: Vec<SecretString>,
    /// After how long without use a subject's record is removed; `None`: never.
    pub forget_after: Option<Duration>,
    /// How to authenticate.
    pub credentials: BTreeMap<CredentialName, Credential>,
    /// The APIs.
    pub upstreams: BTreeMap<UpstreamName, Upstream>,
    /// Which request goes where; no two tie.
    pub routes: Vec<Route>,
    /// How to log.
    pub log: Log,
    /// Where traces go, if anywhere.
    pub traces: Option<Traces>,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// `127.0.0.1:8080`, `[::1]:8080`; port 0 takes a free one.
    Tcp(SocketAddr),
    /// `unix:/run/bearerd/main.sock`.
    Unix(PathBuf),
}

/// Where chains and claims live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Nowhere: for sign-in grants only.
    Memory,
    /// In a file of this host.
    Sqlite {
        /// Its path.
        path: PathBuf,
    },
    /// In a PostgreSQL database.
    Postgres {
        /// Where it is, and who to be there.
        server: Box<tokio_postgres::Config>,
        /// Encrypts the connection; without it, it is plain.
        tls: Option<Tls>,
    },
    /// In a Redis server.
    Redis(Box<Redis>),
}

/// A Redis server.
#[derive(Debug, Clone)]
pub struct Redis {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Encrypts the connection; without it, it is plain.
    pub tls: Option<Tls>,
    /// Who to be there.
    pub username: Option<String>,
    /// That user's password.
    pub password: Option<SecretString>,
    /// The number of the database.
    pub database: u32,
    /// Whether what it has acknowledged may be lost.
    pub accept_loss: bool,
}

impl PartialEq for Redis {
    fn eq(&self, other: &Self) -> bool {
        let password = |redis: &Self| redis.password.as_ref().map(|it| it.expose_secret().to_owned());
        (&self.host, self.port, &self.tls, &self.username) == (&other.host, other.port, &other.tls, &other.username)
            && (self.database, self.accept_loss) == (other.database, other.accept_loss)
            && password(self) == password(other)
    }
}

impl Eq for Redis {}

/// A credential, and whom its token endpoint must convince.
#[derive(Debug)]
pub struct Credential {
    /// What it does.
    pub spec: Arc<Spec>,
    /// The TLS settings of its token endpoint.
    pub tls: Tls,
    /// What connections to it go through.
    pub proxy: Option<Proxy>,
    /// Whether its token endpoint may be plain http off loopback.
    pub insecure: bool,
}

/// An upstream.
#[derive(Debug)]
pub struct Upstream {
    /// Its base URL.
    pub url: BaseUrl,
    /// The credential of its routes, unless they name another.
    pub credential: Option<CredentialName>,
    /// Its TLS settings.
    pub tls: Tls,
    /// What connections to it go through.
    pub proxy: Option<Proxy>,
    /// How long to wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// How long to wait for the head of an answer once the request is sent.
    pub response_timeout: Duration,
    /// Extra header fields for it.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// What it is told of a request's way.
    pub told: Told,
    /// What it is spared, and how long it may take.
    pub limits: Limits,
    /// What is sent to it again after a failure.
    pub retries: Retries,
}

/// What an upstream is told of the way that a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Where it comes from.
    pub forwarded: super::raw::Forwarded,
    /// Whether it came through a proxy.
    pub via: bool,
}

/// What an upstream is spared, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many requests may be under way at once; not 0.
    pub concurrency: usize,
    /// How many more may wait.
    pub queue: usize,
    /// How long each of those may wait.
    pub queue_timeout: Duration,
    /// How many requests are sent in a time.
    pub rate: Option<Rate>,
    /// Whether a 429 with Retry-After holds back all further requests until then.
    pub obey_retry_after: bool,
    /// The most bytes that a request's body may have.
    pub request_body: Option<u64>,
    /// How long a whole exchange may take.
    pub deadline: Option<Duration>,
    /// How long an answer's body may stand still.
    pub idle: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than any API wants from one caller.
            concurrency: 1024,
            // As many as may wait for one token: they all come at once when it is there.
            queue: 20_000,
            // Less than most callers wait.
            queue_timeout: Duration::from_secs(10),
            rate: None,
            obey_retry_after: false,
            request_body: None,
            deadline: None,
            idle: None,
        }
    }
}

/// How many requests are sent in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How long until there is room for one more; not zero.
    pub interval: Duration,
    /// How many may come at once after a pause.
    pub burst: NonZeroU32,
}

/// What is sent again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// How often one request is sent again.
    pub attempts: u32,
    /// How many retries there may be for a hundred requests.
    pub budget: u32,
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host, an IPv6 address in brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Who to be there.
    pub user: Option<ProxyUser>,
    /// The hosts that it isn't for, as `NO_PROXY` has them: it is the environment's. `None`: it is for all.
    pub except: Option<Vec<String>>,
}

/// A user of a proxy.
#[derive(Debug, Clone)]
pub struct ProxyUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: SecretString,
}

impl PartialEq for ProxyUser {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.password.expose_secret() == other.password.expose_secret()
    }
}

impl Eq for ProxyUser {}

/// An upstream's base URL: an origin and a path that goes before every request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// Host and, where it is not the scheme's own, port: the Host header.
    pub authority: http::uri::Authority,
    /// Normalised, without a final slash: empty or `/v2`.
    pub path: String,
}

impl BaseUrl {
    /// Scheme and authority, with the path `/`.
    pub fn origin(&self) -> http::Uri {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static("/"));
        // All three parts are there.
        http::Uri::from_parts(parts).unwrap_or_default()
    }
}

/// TLS settings of a client: the config's own, an upstream's or a credential's over it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificate authorities besides the platform's.
    pub ca: Vec<CertificateDer<'static>>,
    /// The client certificate's chain and key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The name to ask for and to verify, instead of the URL's host.
    pub server_name: Option<rustls_pki_types::ServerName<'static>>,
}

impl Clone for Tls {
    fn clone(&self) -> Self {
        Self {
            ca: self.ca.clone(),
            client: self
                .client
                .as_ref()
                .map(|(chain, key)| (chain.clone(), key.clone_key())),
            server_name: self.server_name.clone(),
        }
    }
}

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name, for logs and metrics.
    pub name: RouteName,
    /// The listener it is of; `None` is all of them.
    pub listener: Option<ListenerName>,
    /// The host it wants, in lower case, without port.
    pub host: Option<String>,
    /// Normalised segments, `/fluent`; removed before forwarding. Empty matches everything.
    pub prefix: String,
    /// A pattern for what is left after the prefix, in matchit's syntax; kept when forwarding.
    pub path: Option<String>,
    /// The methods it wants; empty is all of them.
    pub methods: Vec<Method>,
    /// What may be called; empty is everything.
    pub allow: Vec<Allow>,
    /// Who may use it; empty is everybody who may call.
    pub callers: Vec<CallerName>,
    /// Where it goes.
    pub upstream: UpstreamName,
    /// With which credential: the route's own, else the upstream's; `None` is without.
    pub credential: Option<CredentialName>,
    /// Header fields that its credential's subject reads, which are not forwarded.
    pub subject_headers: Vec<http::HeaderName>,
    /// Extra header fields for the upstream: the route's own, and the upstream's.
    pub headers: Vec<(http::HeaderName, Template)>,
    /// What the upstream is told of a request's way.
    pub told: Told,
    /// How long a request may wait for a token.
    pub token_timeout: Duration,
}

/// An entry of an `allow` list: `GET /api/**`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// The method; `None` is any (`*`).
    pub method: Option<Method>,
    /// Segments of what is forwarded after the upstream's base path.
    pub segments: Vec<AllowSegment>,
}

/// A segment of an [`Allow`] pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowSegment {
    /// This text, decoded.
    Literal(String),
    /// `*`: any one segment.
    Any,
    /// `**`: any number of segments, none included; last only.
    Rest,
}

/// Where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Traces {
    /// The collector, without the signal's own path.
    pub collector: BaseUrl,
    /// The share of requests that is traced where their callers don't say: from 0 to 1.
    pub sample: f64,
    /// The TLS settings of the connection.
    pub tls: Tls,
    /// What the connection goes through.
    pub proxy: Option<Proxy>,
}

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// As JSON, or readable; `None` decides by whether it goes to a terminal.
    pub format: Option<LogFormat>,
    /// The filter, in tracing's `target=level` syntax; dependencies stay capped.
    pub level: String,
    /// A file to write to instead of standard error.
    pub file: Option<PathBuf>,
    /// Whether each request has a line.
    pub access: bool,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// Readable.
    Text,
}
