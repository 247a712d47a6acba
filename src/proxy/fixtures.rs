//! Routes, credentials and requests for this room's tests.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;

use super::{Router, RouterError, Target, limits::Limits};
use crate::{
    config::checked,
    credential::{
        Spec,
        grant::{Body as GrantBody, Request as GrantRequest},
        placement::{Injection, Placement},
        reply::{ErrorRules, ReplyRules, Unit},
        spec::{Fingerprint, Grant, Policy, SubjectPart},
    },
    manager::{Manager, TokenHandle},
    template::{Part, Scope, Template},
    upstream::{Body, BoxError, Client, Settings},
};

pub(super) fn body(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that a test sends piece by piece, and ends by dropping the sender.
pub(super) fn streamed() -> (mpsc::UnboundedSender<Result<Bytes, BoxError>>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Frames(receiver).boxed_unsync())
}

struct Frames(mpsc::UnboundedReceiver<Result<Bytes, BoxError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

pub(super) fn bearer(token: &str) -> Injection {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).unwrap();
    value.set_sensitive(true);
    Injection::Header(http::header::AUTHORIZATION, value)
}

/// A bearer credential whose subject has these parts.
pub(super) fn spec(name: &str, subject: &[(&str, Scope, &str)]) -> Spec {
    Spec {
        name: name.parse().unwrap(),
        fixed: Some("s".into()),
        sign_in: None,
        browser: None,
        refresh: None,
        steps: vec![],
        seed: None,
        ask: vec![],
        placement: Placement::Header {
            name: http::header::AUTHORIZATION,
            value: Template::written("unused"),
        },
        subject: subject
            .iter()
            .map(|(name, scope, from)| SubjectPart {
                name: (*name).into(),
                from: Template::new(vec![Part::Reference(*scope, (*from).into())]),
            })
            .collect(),
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

pub(super) fn grant(method: Method, url: Template) -> Grant {
    Grant {
        request: GrantRequest {
            method,
            url,
            query: vec![],
            headers: vec![],
            basic: None,
            body: GrantBody::Empty,
        },
        reply: ReplyRules {
            ok: vec![],
            access_token: vec![],
            refresh_token: vec![],
            expires_in: vec![],
            expires_at: vec![],
            refresh_expires_in: vec![],
            unit: Unit::Seconds,
        },
    }
}

/// A route of every listener to upstream `api`, without credential.
pub(super) fn route(name: &str, prefix: &str) -> checked::Route {
    checked::Route {
        name: name.parse().unwrap(),
        listener: None,
        host: None,
        prefix: prefix.into(),
        path: None,
        methods: vec![],
        allow: vec![],
        callers: vec![],
        upstream: "api".parse().unwrap(),
        credential: None,
        subject_headers: vec![],
        told: checked::Told::default(),
        headers: vec![],
        token_timeout: Duration::from_secs(5),
    }
}

pub(super) fn header(name: &'static str, parts: Vec<Part>) -> (HeaderName, Template) {
    (HeaderName::from_static(name), Template::new(parts))
}

/// `https://api.example/v2`.
pub(super) fn target() -> Target {
    target_at(http::uri::Scheme::HTTPS, "api.example", "/v2")
}

pub(super) fn target_at(scheme: http::uri::Scheme, authority: &str, path: &str) -> Target {
    let base = checked::BaseUrl {
        scheme,
        authority: authority.parse().unwrap(),
        path: path.into(),
    };
    let client = Client::new(&Settings::default(), &base.origin()).unwrap();
    Target {
        name: "api".parse().unwrap(),
        host: client.host().clone(),
        limits: Limits::default(),
        client,
        base,
    }
}

/// A router of listener `main`, which is called `bearerd` too, with [`target`] behind it.
pub(super) fn router(routes: &[checked::Route], specs: Vec<Spec>) -> Result<Router, RouterError> {
    router_of(None, routes, specs)
}

/// The same, for these callers.
pub(super) fn router_of(
    callers: Option<checked::Callers>,
    routes: &[checked::Route],
    specs: Vec<Spec>,
) -> Result<Router, RouterError> {
    let listener = checked::Listener {
        hosts: vec!["bearerd".into()],
        expose: true,
        callers: callers.map(Arc::new),
        ..checked::Listener::at(checked::Bind::Tcp(([10, 1, 2, 3], 8080).into()))
    };
    let target = target();
    let managers = specs
        .into_iter()
        .map(|spec| {
            let name = spec.name.clone();
            let manager = Manager::fixed(Arc::new(spec), TokenHandle::fixed(bearer("s")));
            (name, manager)
        })
        .collect();
    let targets = BTreeMap::from([(target.name.clone(), Arc::new(target))]);
    Router::new(&"main".parse().unwrap(), &listener, routes, &targets, &managers)
}
