//! What the tests of several commands are made of.

use http::Method;

use crate::{
    credential::{
        Spec,
        grant::{Body, Request},
        placement::Placement,
        reply::{ErrorRules, ReplyRules, Unit},
        spec::{Ask, Fingerprint, Grant, Policy},
    },
    template::{Part, Scope, Template},
};

/// A grant whose form asks a person for these.
pub(super) fn grant(asks: &[&str]) -> Grant {
    let field = |name: &&str| {
        let value = Template::new(vec![Part::Reference(Scope::Ask, (*name).into())]);
        ((*name).to_owned(), value)
    };
    Grant {
        request: Request {
            method: Method::POST,
            url: Template::written("https://idp.example/token"),
            query: Vec::new(),
            headers: Vec::new(),
            basic: None,
            body: Body::Form(asks.iter().map(field).collect()),
        },
        reply: ReplyRules {
            ok: Vec::new(),
            access_token: Vec::new(),
            refresh_token: Vec::new(),
            expires_in: Vec::new(),
            expires_at: Vec::new(),
            refresh_expires_in: Vec::new(),
            unit: Unit::Seconds,
        },
    }
}

pub(super) fn question(name: &str) -> Ask {
    Ask {
        name: name.into(),
        question: format!("The {name}"),
        secret: false,
    }
}

/// A credential named `shop` that does nothing.
pub(super) fn spec() -> Spec {
    Spec {
        name: "shop".parse().unwrap(),
        fixed: None,
        sign_in: None,
        browser: None,
        refresh: None,
        steps: Vec::new(),
        seed: None,
        ask: Vec::new(),
        placement: Placement::Query("key".into()),
        subject: Vec::new(),
        errors: ErrorRules {
            code: Vec::new(),
            text: Vec::new(),
            dead: Vec::new(),
            subject: Vec::new(),
            login: Vec::new(),
            unspent: Vec::new(),
            hints: Vec::new(),
        },
        rejected: Vec::new(),
        policy: Policy::default(),
        fingerprint: Fingerprint::of([]),
    }
}
