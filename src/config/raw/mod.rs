//! The config as it is written: a serde mirror whose doc comments are the reference.
//!
//! Nothing here is checked. A field that could not be read is [`Field::Faulty`], and its fault is written down.

mod credential;
mod field;
mod reply;
mod sections;

use schemars::JsonSchema;
use serde::Deserialize;

pub use credential::{Auth, Basic, Credential, Exchange, Grant, GrantType, OnDoubt, Placement, Request, Step, Then};
pub use field::{Entries, Field, Free, Mark, Span, Text};
pub use reply::{Errors, Reply, Sign, Unit};

/// A config file of bearerd.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The addresses that applications connect to, by name. Absent: one, `main`, on 127.0.0.1:8080.
    pub listeners: Field<Entries<Listener>>,
    /// Where `/livez`, `/readyz` and `/metrics` are served. Absent: not at all.
    pub probes: Field<Probes>,
    /// Where the status page and its actions are served: loopback or a Unix socket. Absent: not at all.
    pub admin: Field<Admin>,
    /// Where tokens are kept. Absent: SQLite, in `$STATE_DIRECTORY/state.db` or beside the config file.
    pub state: Field<State>,
    /// TLS settings of every connection to an API or a token endpoint. Absent: the platform's authorities, and no
    /// client certificate.
    pub tls: Field<CommonTls>,
    /// How to authenticate, by name. Absent: none.
    pub credentials: Field<Entries<Credential>>,
    /// The APIs, by name. Absent: none.
    pub upstreams: Field<Entries<Upstream>>,
    /// Which request goes where, by name. Absent: none: each request is answered `404 no_route`.
    pub routes: Field<Entries<Route>>,
    /// How to log. Absent: JSON lines to standard error (text on a terminal).
    pub log: Field<Log>,
    /// Where traces go. Absent: nowhere; a caller's `traceparent` is passed on as it came.
    pub traces: Field<Traces>,
}

/// An address that applications connect to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/bearerd/main.sock`; port 0 takes a free one. Required.
    pub bind: Field<Text>,
    /// Other names it is called by, for example in a compose network. Absent: none: `localhost`, its own address and
    /// the hosts of routes.
    pub hosts: Field<Vec<Field<Text>>>,
    /// Whether it may be bound off loopback. Anybody who reaches it acts with the credentials.
    #[schemars(extend("default" = false))]
    pub expose: Field<bool>,
    /// Sends header names in title case, for applications that compare them by case.
    #[schemars(extend("default" = false))]
    pub title_case_headers: Field<bool>,
    /// Speaks TLS (HTTP/2 and HTTP/1.1) with this certificate. Absent: plain HTTP.
    pub tls: Field<ListenerTls>,
    /// Who may call, by name. Absent: everybody who can connect.
    pub callers: Field<Entries<Caller>>,
    /// The header field that callers' keys stand in; in `authorization` it is `Bearer KEY`.
    #[schemars(extend("default" = "x-bearerd-key"))]
    pub key_header: Field<Text>,
    /// The mode of its Unix socket, in octal digits.
    #[schemars(extend("default" = "0600"))]
    pub mode: Field<Text>,
    /// The owner of its Unix socket: a name of `/etc/passwd`, or a number. Absent: the user that
    /// bearerd runs as.
    pub owner: Field<Text>,
    /// The group of its Unix socket: a name of `/etc/group`, or a number. Absent: the one that the system gives it.
    pub group: Field<Text>,
}

/// What a listener speaks TLS with.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTls {
    /// A PEM file with its certificate and those that lead to an authority. Required.
    pub cert: Field<Text>,
    /// A PEM file with the certificate's private key. Required.
    pub key: Field<Text>,
    /// A PEM file of the authorities of client certificates. Without `callers`, each connection must have one. Absent:
    /// none is asked for.
    pub client_ca: Field<Text>,
}

/// A caller of a listener: what it shows to prove that it is the one, which is one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Caller {
    /// A key of at least 16 random characters, which it sends with each request. Absent: it has none.
    pub key: Field<Text>,
    /// A client certificate, of an authority of `tls.client_ca`. Absent: it has none.
    pub certificate: Field<ClientCertificate>,
    /// The user that it runs as on this machine: a name of `/etc/passwd`, or a number. For Unix sockets. Absent: any.
    pub user: Field<Text>,
    /// The effective group that it runs as on this machine: a name of `/etc/group`, or a number. For Unix sockets. Absent:
    /// any.
    pub group: Field<Text>,
}

/// A client certificate: what tells it from others, which is one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientCertificate {
    /// A DNS name among its subject alternative names. Absent: any.
    pub dns: Field<Text>,
    /// A URI among its subject alternative names, such as `spiffe://shop.example/batch`. Absent: any.
    pub uri: Field<Text>,
    /// The SHA-256 digest of the certificate, in hexadecimal digits, with or without colons. Absent: any.
    pub sha256: Field<Text>,
}

/// The probes listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Probes {
    /// Its address, as a listener's. Required.
    pub bind: Field<Text>,
    /// Whether it may be bound off loopback.
    #[schemars(extend("default" = false))]
    pub expose: Field<bool>,
}

/// The admin listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Its address: loopback or a Unix socket. Required.
    pub bind: Field<Text>,
}

/// Where tokens are kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct State {
    /// Which store. `memory` is for credentials that can sign in by themselves.
    #[schemars(extend("default" = "sqlite"))]
    pub store: Field<Store>,
    /// The file of `sqlite`. Absent: `state.db` in `$STATE_DIRECTORY`, or `bearerd-state.db` beside the first config
    /// file.
    pub path: Field<Text>,
    /// What tokens are sealed with in a file or on a server: each text is a key of at least 32 random characters. The
    /// first seals, each opens; so a key is replaced by adding the new one last, then first, then alone. Absent:
    /// tokens are kept as they are.
    pub keys: Field<Vec<Field<Text>>>,
    /// Forgets a subject that nobody has used for so long, where its credential signs in by itself: one day at least.
    /// Absent: none is forgotten.
    pub forget_after: Field<Span>,
    /// The server of `postgres` (`postgres://USER@HOST:5432/DATABASE`) or `redis` (`rediss://HOST:6379/0`; `redis:`
    /// is plain). Required by `postgres` and `redis`.
    pub url: Field<Text>,
    /// The user of `redis`. Absent: the default user of Redis.
    pub username: Field<Text>,
    /// The password of `postgres` or `redis`. Absent: none is given.
    pub password: Field<Text>,
    /// TLS settings of the connection to `postgres` or `redis`. Absent: the common `tls`.
    pub tls: Field<Tls>,
    /// Whether the connection to `postgres` or `redis` may be plain off loopback.
    #[schemars(extend("default" = false))]
    pub insecure: Field<bool>,
    /// Whether `redis` may lose what it has acknowledged. Without it, a server is refused that doesn't sync each
    /// write (`appendonly yes`, `appendfsync always`) or may evict records (`maxmemory-policy noeviction`).
    #[schemars(extend("default" = false))]
    pub accept_loss: Field<bool>,
}

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// Nothing is kept over a restart.
    Memory,
    /// A file of this host.
    Sqlite,
    /// A PostgreSQL database, which many machines may share.
    Postgres,
    /// A Redis server, for those who have nothing else that machines share.
    Redis,
}

/// TLS settings of every connection.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CommonTls {
    /// A PEM file of certificate authorities, trusted besides the platform's. Absent: the platform's alone.
    pub ca: Field<Text>,
    /// A PEM file with the client certificate and its chain. Absent: none is shown.
    pub client_cert: Field<Text>,
    /// A PEM file with the client certificate's private key. Required with `client_cert`.
    pub client_key: Field<Text>,
}

/// TLS settings of one upstream or token endpoint; each key given here replaces the common one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// A PEM file of certificate authorities, trusted besides the platform's. Absent: the common one.
    pub ca: Field<Text>,
    /// A PEM file with the client certificate and its chain. Absent: the common one.
    pub client_cert: Field<Text>,
    /// A PEM file with the client certificate's private key. Required with `client_cert`.
    pub client_key: Field<Text>,
    /// The name to ask for and to verify, instead of the URL's host. Absent: the URL's host.
    pub server_name: Field<Text>,
}

/// An API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// Its base URL. Absent: the `base_url` of its credential's preset.
    pub url: Field<Text>,
    /// The credential of its routes. Absent: `none`: requests go without.
    pub credential: Field<Text>,
    /// Its TLS settings. Absent: the common `tls`.
    pub tls: Field<Tls>,
    /// The HTTP proxy that leads to it, `http://USER:PASSWORD@HOST:PORT`, or `none`. Absent: what `HTTPS_PROXY` and
    /// `NO_PROXY` say.
    pub proxy: Field<Text>,
    /// Whether it may be plain http off loopback.
    #[schemars(extend("default" = false))]
    pub insecure: Field<bool>,
    /// How long to wait for a connection, TLS included.
    #[schemars(extend("default" = "10s"))]
    pub connect_timeout: Field<Span>,
    /// How long to wait for the head of an answer.
    #[schemars(extend("default" = "60s"))]
    pub response_timeout: Field<Span>,
    /// Extra header fields for it, whichever route a request comes by; a route's own of the same name replace them.
    /// Absent: none.
    pub headers: Field<Entries<Field<Text>>>,
    /// What it is told of where a request comes from: what becomes of `Forwarded`, `X-Forwarded-…` and `X-Real-IP`.
    #[schemars(extend("default" = "drop"))]
    pub forwarded: Field<Forwarded>,
    /// Whether it is told that requests come through a proxy (`Via`).
    #[schemars(extend("default" = false))]
    pub via: Field<bool>,
    /// What it is spared, and how long it may take. Absent: each key's default.
    pub limits: Field<Limits>,
    /// What is sent to it again after a failure. Absent: only what broke with a connection that was kept open is sent
    /// again.
    pub retries: Field<Retries>,
}

/// What becomes of the header fields that tell where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// They end here: what addresses and names this side has is no API's business.
    #[default]
    Drop,
    /// They go on as the caller sent them.
    Keep,
    /// The caller's address, and the scheme and host that it called, are added.
    Add,
}

/// What an upstream is spared, and how long it may take. One upstream's limits are no other's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// How many requests may be under way at once.
    #[schemars(extend("default" = 1024))]
    pub concurrency: Field<u32>,
    /// How many more may wait; beyond that they are refused with `503 overloaded`.
    #[schemars(extend("default" = 20000))]
    pub queue: Field<u32>,
    /// How long each of those may wait.
    #[schemars(extend("default" = "10s"))]
    pub queue_timeout: Field<Span>,
    /// How many requests are sent in a time; beyond that they are refused with `429 rate_limited`. Absent: as many as
    /// come.
    pub rate: Field<Rate>,
    /// Whether a `429` of the API with `Retry-After` holds back all further requests until then.
    #[schemars(extend("default" = false))]
    pub obey_retry_after: Field<bool>,
    /// The most bytes that a request's body may have; larger ones are refused with `413 body_too_large`. Absent: any.
    pub request_body: Field<u64>,
    /// How long a whole exchange may take, from the request's head to the end of the answer. Absent: as long as it
    /// does.
    pub deadline: Field<Span>,
    /// How long an answer's body may stand still while the caller waits for more of it. Absent: as long as it does.
    pub idle: Field<Span>,
}

/// How many requests are sent in a time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rate {
    /// How many. Required.
    pub requests: Field<u32>,
    /// In each of these.
    #[schemars(extend("default" = "1s"))]
    pub per: Field<Span>,
    /// How many may come at once after a pause. Absent: as many as `requests`.
    pub burst: Field<u32>,
}

/// What is sent again after a failure: what never left, and what may be done twice (RFC 9110 §9.2.2) and had no answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// How often one request is sent again. Required.
    pub attempts: Field<u32>,
    /// How many retries there may be for a hundred requests.
    #[schemars(extend("default" = 20))]
    pub budget: Field<u32>,
}

/// What a request must look like, and where it goes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Route {
    /// The listener it is of. Absent: all.
    pub listener: Field<Text>,
    /// The host that the request names. Absent: any that the listener knows.
    pub host: Field<Text>,
    /// What its path begins with, on segment bounds; removed before forwarding. Absent: any path, of which nothing is
    /// removed.
    pub prefix: Field<Text>,
    /// What is left of its path, with captures: `/v2/tenants/{tenantUid}/{*rest}`; kept when forwarding. Absent: any.
    pub path: Field<Text>,
    /// Its methods; GET is HEAD too, but where another route names that. Absent: all.
    pub methods: Field<Vec<Field<Text>>>,
    /// What may be called: `GET /api/**`, which is HEAD too, `POST /graphql`, `* /v1/*`. Absent: everything.
    pub allow: Field<Vec<Field<Text>>>,
    /// Who may use it, of its listeners' `callers`. Absent: everybody who may call.
    pub callers: Field<Vec<Field<Text>>>,
    /// Where it goes. Required.
    pub upstream: Field<Text>,
    /// With which credential, instead of the upstream's; `none` is without. Absent: the upstream's.
    pub credential: Field<Text>,
    /// Extra header fields for the upstream. Absent: none.
    pub headers: Field<Entries<Field<Text>>>,
    /// How long a request may wait for a token.
    #[schemars(extend("default" = "10s"))]
    pub token_timeout: Field<Span>,
}

/// How to log.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The shape of lines. Absent: text on a terminal, else JSON.
    pub format: Field<LogFormat>,
    /// The least level, or a filter such as `info,bearerd::proxy=debug`.
    #[schemars(extend("default" = "info"))]
    pub level: Field<Text>,
    /// A file to write to, instead of standard error. Absent: standard error.
    pub file: Field<Text>,
    /// Whether each request has a line.
    #[schemars(extend("default" = true))]
    pub access: Field<bool>,
}

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A JSON object a line.
    Json,
    /// Readable.
    Text,
}

/// Where traces go. Takes a bearerd that was built with the feature `otlp`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Traces {
    /// The base URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; `/v1/traces` is added to
    /// its path. Required.
    pub otlp: Field<Text>,
    /// The share of requests that is traced, from `0` to `1`, where the caller's `traceparent` doesn't say.
    #[schemars(extend("default" = 1))]
    pub sample: Field<f64>,
    /// Whether the collector may be plain http off loopback.
    #[schemars(extend("default" = false))]
    pub insecure: Field<bool>,
}
