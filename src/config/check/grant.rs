//! The standard grants, written out as described requests: nothing later knows them.

use http::Method;
use secrecy::SecretString;

use super::{Check, request::Terms};
use crate::{
    config::{
        node::KeyPath,
        raw::{self, Auth, Field, GrantType, Text},
        resolve::{AT_LOAD, Resolved},
    },
    credential::grant::{Basic, Body, Request},
    template::{Part, Scope, Template},
};

/// What a standard grant comes to.
pub(super) struct Standard {
    /// The token of `static`.
    pub(super) fixed: Option<SecretString>,
    pub(super) sign_in: Option<Request>,
    pub(super) refresh: Option<Request>,
    /// The refresh token of `refresh_token`.
    pub(super) seed: Option<SecretString>,
}

fn reference(scope: Scope, name: &str) -> Template {
    Template::new(vec![Part::Reference(scope, name.into())])
}

impl Check<'_> {
    /// A standard grant; `None` comes with a fault.
    pub(super) fn grant(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Standard> {
        let kind = match raw.kind {
            Field::Given(kind) => kind,
            Field::Faulty => return None,
            Field::Absent => {
                self.fault_at_key(
                    at,
                    "`type` is missing".into(),
                    Some("it is one of static, client_credentials, password, refresh_token".into()),
                );
                return None;
            }
        };
        self.only_keys_of(kind, raw, at);
        if kind == GrantType::Static {
            return self.fixed(raw, at, terms).map(|fixed| Standard {
                fixed: Some(fixed),
                sign_in: None,
                refresh: None,
                seed: None,
            });
        }
        let base = self.token_request(raw, at, terms);
        let own = match kind {
            GrantType::ClientCredentials => Some(vec![("grant_type", Template::written("client_credentials"))]),
            GrantType::Password => {
                let username = self.or_ask(&raw.username, "username", at, terms);
                let password = self.or_ask(&raw.password, "password", at, terms);
                username.zip(password).map(|(username, password)| {
                    vec![
                        ("grant_type", Template::written("password")),
                        ("username", username),
                        ("password", password),
                    ]
                })
            }
            GrantType::RefreshToken | GrantType::Static => Some(Vec::new()),
        };
        let seed = match &raw.refresh_token {
            Field::Absent => Some(None),
            field => self.secret(field, &at.key("refresh_token"), terms).map(Some),
        };
        let (base, own, seed) = (base?, own?, seed?);
        let sign_in = (kind != GrantType::RefreshToken).then(|| with(&base, own));
        let refresh = (kind != GrantType::ClientCredentials).then(|| {
            with(
                &base,
                vec![
                    ("grant_type", Template::written("refresh_token")),
                    ("refresh_token", reference(Scope::Token, "refresh")),
                ],
            )
        });
        Some(Standard {
            fixed: None,
            sign_in,
            refresh,
            seed,
        })
    }

    /// A key that another grant has would silently do nothing.
    fn only_keys_of(&self, kind: GrantType, raw: &raw::Grant, at: &KeyPath) {
        let (name, own): (&str, &[&str]) = match kind {
            GrantType::Static => ("static", &["token"]),
            GrantType::ClientCredentials => ("client_credentials", &[]),
            GrantType::Password => ("password", &["username", "password"]),
            GrantType::RefreshToken => ("refresh_token", &["refresh_token"]),
        };
        const OF_ALL: [&str; 6] = ["token_url", "client_id", "client_secret", "auth", "scope", "extra"];
        let given = [
            ("token", !raw.token.is_absent()),
            ("token_url", !raw.token_url.is_absent()),
            ("client_id", !raw.client_id.is_absent()),
            ("client_secret", !raw.client_secret.is_absent()),
            ("auth", !raw.auth.is_absent()),
            ("scope", !raw.scope.is_absent()),
            ("extra", !raw.extra.is_absent()),
            ("username", !raw.username.is_absent()),
            ("password", !raw.password.is_absent()),
            ("refresh_token", !raw.refresh_token.is_absent()),
        ];
        for (key, given) in given {
            let is_own = own.contains(&key) || (kind != GrantType::Static && OF_ALL.contains(&key));
            if given && !is_own {
                self.fault_at_key(&at.key(key), format!("a grant of type {name} has no `{key}`"), None);
            }
        }
    }

    fn fixed(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<SecretString> {
        if raw.token.is_absent() {
            self.fault_at_key(
                at,
                "`token` is missing".into(),
                Some("such as `token: \"${env:API_TOKEN}\"`".into()),
            );
            return None;
        }
        self.secret(&raw.token, &at.key("token"), terms)
    }

    /// A secret that is known at load.
    pub(super) fn secret(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<SecretString> {
        let at_load = Terms {
            allowed: AT_LOAD,
            ..terms
        };
        match self.value(field, at, at_load) {
            Resolved::Template(template) => template.render(&()).ok(),
            Resolved::LeftOut => {
                self.fault_at_key(at, "this is missing: its parameter is absent".into(), None);
                None
            }
            Resolved::Faulty => None,
        }
    }

    fn or_ask(&self, field: &Field<Text>, name: &str, at: &KeyPath, terms: Terms<'_>) -> Option<Template> {
        match self.value(field, &at.key(name), terms) {
            Resolved::Template(template) => Some(template),
            Resolved::LeftOut => Some(reference(Scope::Ask, name)),
            Resolved::Faulty => None,
        }
    }

    /// What the requests of a grant share: the endpoint, the client's authentication, scope and extra parameters.
    fn token_request(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Request> {
        let url = self.url(&raw.token_url, &at.key("token_url"), terms);
        let optional = |field: &Field<Text>, key: &str| match self.value(field, &at.key(key), terms) {
            Resolved::Template(template) => Some(Some(template)),
            Resolved::LeftOut => Some(None),
            Resolved::Faulty => None,
        };
        let id = optional(&raw.client_id, "client_id");
        let secret = optional(&raw.client_secret, "client_secret");
        let scope = optional(&raw.scope, "scope");
        let extra = self.fields(&raw.extra, &at.key("extra"), terms);
        let (id, secret) = (id?, secret?);
        let auth = match raw.auth {
            Field::Given(auth) => auth,
            Field::Absent if secret.is_some() => Auth::Basic,
            Field::Absent => Auth::None,
            Field::Faulty => return None,
        };
        let (needs_id, needs_secret) = match auth {
            Auth::Basic | Auth::Post => (id.is_none(), secret.is_none()),
            Auth::None => (false, false),
        };
        for (missing, key) in [(needs_id, "client_id"), (needs_secret, "client_secret")] {
            if missing {
                self.fault_at_key(
                    at,
                    format!("`{key}` is missing: the client authenticates with it"),
                    Some("give it, or say `auth: none`".into()),
                );
            }
        }
        if auth == Auth::None && secret.is_some() {
            self.fault_at_key(
                &at.key("client_secret"),
                "`auth: none` sends no secret".into(),
                Some("use `auth: basic` or `auth: post`".into()),
            );
        }
        let mut form = Vec::new();
        let mut basic = None;
        match (auth, id, secret) {
            (Auth::Basic, Some(username), Some(password)) => {
                basic = Some(Basic {
                    username,
                    password,
                    form_encoded: true,
                });
            }
            (_, id, secret) => {
                form.extend(id.map(|id| ("client_id".to_owned(), id)));
                form.extend(secret.map(|secret| ("client_secret".to_owned(), secret)));
            }
        }
        form.extend(scope?.map(|scope| ("scope".to_owned(), scope)));
        form.extend(extra?);
        Some(Request {
            method: Method::POST,
            url: url?,
            query: Vec::new(),
            headers: Vec::new(),
            basic,
            body: Body::Form(form),
        })
    }
}

/// The request with these fields before its own.
fn with(base: &Request, fields: Vec<(&str, Template)>) -> Request {
    let mut request = base.clone();
    let mut form: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    if let Body::Form(shared) = request.body {
        form.extend(shared);
    }
    request.body = Body::Form(form);
    request
}
