//! A plain TLS client that trusts the demo's authority.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bearerd::{
    clock::Clock,
    demo::{Api, Apis, Options, flow_retail, flowlu, fluent, pos},
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::Value;

/// The APIs, on a clock that stands still, and a client of them.
pub(crate) struct Stage {
    pub(crate) apis: Apis,
    pub(crate) clock: Clock,
    pub(crate) client: Client,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let clock = Clock::manual();
        let mut options = Options {
            clock: clock.clone(),
            drip: Duration::from_millis(1),
            ..Options::default()
        };
        change(&mut options);
        let apis = Apis::start(options).await.unwrap();
        let client = Client::trusting(apis.ca_pem());
        Self { apis, clock, client }
    }
}

/// Opens a connection for each request, so that none meets another's closed one.
pub(crate) struct Client(Pooled<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self, member: &str) -> String {
        self.json()[member]
            .as_str()
            .unwrap_or_else(|| panic!("no {member}: {self:?}"))
            .to_owned()
    }
}

pub(crate) fn tls(ca_pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl Client {
    pub(crate) fn trusting(ca_pem: &str) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_pem))
            .https_only()
            .enable_all_versions();
        Self::over(connector.build())
    }

    pub(crate) fn http1(ca_pem: &str) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(ca_pem))
            .https_only()
            .enable_http1();
        Self::over(connector.build())
    }

    fn over(connector: HttpsConnector<HttpConnector>) -> Self {
        let mut builder = Pooled::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(0).retry_canceled_requests(false);
        Self(builder.build(connector))
    }

    /// Sends a request and reads the answer's head.
    pub(crate) async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.0.request(request).await.unwrap()
    }

    /// Sends a request; an error is any way of not getting a whole answer.
    pub(crate) async fn try_send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let (head, body) = self.0.request(request).await?.into_parts();
        Ok(Answer {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.try_send(request).await.unwrap()
    }
}

/// A request in the making.
pub(crate) struct Ask(http::request::Builder);

impl Ask {
    pub(crate) fn get(api: &Api, target: &str) -> Self {
        Self::to("GET", api, target)
    }

    pub(crate) fn post(api: &Api, target: &str) -> Self {
        Self::to("POST", api, target)
    }

    pub(crate) fn to(method: &str, api: &Api, target: &str) -> Self {
        let uri = format!("{}{target}", api.base_url());
        Self(Request::builder().method(method).uri(uri))
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn basic(self, user: &str, password: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{password}"));
        self.header("authorization", &format!("Basic {pair}"))
    }

    pub(crate) fn empty(self) -> Request<Full<Bytes>> {
        self.body(Bytes::new())
    }

    pub(crate) fn json(self, body: &Value) -> Request<Full<Bytes>> {
        self.header("content-type", "application/json")
            .body(body.to_string().into())
    }

    pub(crate) fn form(self, fields: &[(&str, &str)]) -> Request<Full<Bytes>> {
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(encoded(fields).into())
    }

    pub(crate) fn body(self, body: Bytes) -> Request<Full<Bytes>> {
        self.0.body(Full::new(body)).unwrap()
    }
}

pub(crate) fn encoded(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Fluent's sign-in, as its document writes it.
pub(crate) fn fluent_password(apis: &Apis, client: fluent::Client) -> Request<Full<Bytes>> {
    fluent_token(
        apis,
        &[
            ("username", fluent::USERNAME),
            ("password", fluent::PASSWORD),
            ("scope", client.scope),
            ("client_id", client.id),
            ("client_secret", client.secret),
            ("grant_type", "password"),
        ],
    )
}

/// Fluent's refresh, as its document writes it.
pub(crate) fn fluent_refresh(apis: &Apis, client: fluent::Client, token: &str) -> Request<Full<Bytes>> {
    fluent_token(
        apis,
        &[
            ("refresh_token", token),
            ("scope", client.scope),
            ("client_id", client.id),
            ("client_secret", client.secret),
            ("grant_type", "refresh_token"),
        ],
    )
}

pub(crate) fn fluent_token(apis: &Apis, parameters: &[(&str, &str)]) -> Request<Full<Bytes>> {
    Ask::post(apis.fluent(), &format!("/oauth/token?{}", encoded(parameters))).empty()
}

/// A login at the point of sale.
pub(crate) fn pos_login(apis: &Apis) -> Request<Full<Bytes>> {
    let body = serde_json::json!({"user_name": pos::USER_NAME, "password": pos::PASSWORD});
    Ask::post(apis.pos(), "/auth/token")
        .basic(pos::CLIENT_ID, pos::CLIENT_SECRET)
        .json(&body)
}

/// A sign-in at Flowlu.
pub(crate) fn flowlu_password(apis: &Apis) -> Request<Full<Bytes>> {
    Ask::post(apis.flowlu(), "/oauth/token").form(&[
        ("grant_type", "password"),
        ("username", flowlu::USERNAME),
        ("password", flowlu::PASSWORD),
        ("client_id", flowlu::CLIENT_ID),
    ])
}

/// A device's token request at Flow Retail.
pub(crate) fn device_token(apis: &Apis, refresh: &str) -> Request<Full<Bytes>> {
    let body = serde_json::json!({"appId": flow_retail::APP_ID, "refreshToken": refresh});
    Ask::post(apis.flow_retail(), "/v2/device/token").json(&body)
}
