//! The standard grants, written out as described requests: nothing later knows them.

use http::Method;
use secrecy::SecretString;

use super::{Check, browser::DEVICE_CODE, request::Terms};
use crate::{
    config::{
        node::KeyPath,
        raw::{self, Auth, Field, GrantType, Text},
        resolve::{AT_LOAD, Resolved},
    },
    credential::{
        browser::Browser,
        grant::{Basic, Body, Request},
    },
    template::{Part, Scope, Template},
};

/// What a standard grant comes to.
pub(super) struct Standard {
    /// The token of `static`.
    pub(super) fixed: Option<SecretString>,
    pub(super) sign_in: Option<Request>,
    /// How a person signs in with a browser.
    pub(super) browser: Option<Browser>,
    pub(super) refresh: Option<Request>,
    /// The refresh token of `refresh_token`.
    pub(super) seed: Option<SecretString>,
}

pub(super) fn reference(scope: Scope, name: &str) -> Template {
    Template::new(vec![Part::Reference(scope, name.into())])
}

impl Check<'_> {
    /// A standard grant; `None` comes with a fault.
    pub(super) fn grant(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Standard> {
        let kind = match raw.kind {
            Field::Given(kind) => kind,
            Field::Faulty => {
                self.neighbours(raw, at, terms);
                return None;
            }
            Field::Absent => {
                self.neighbours(raw, at, terms);
                self.fault_at_key(
                    at,
                    "`type` is missing".into(),
                    Some("it is one of static, client_credentials, password, refresh_token, authorization_code, device_code".into()),
                );
                return None;
            }
        };
        self.only_keys_of(kind, raw, at);
        if kind == GrantType::Static {
            return self.fixed(raw, at, terms).map(|fixed| Standard {
                fixed: Some(fixed),
                sign_in: None,
                browser: None,
                refresh: None,
                seed: None,
            });
        }
        let is_browsers = matches!(kind, GrantType::AuthorizationCode | GrantType::DeviceCode);
        let terms = match is_browsers {
            // Whatever a person has to say is said in the browser.
            true => Terms {
                allowed: AT_LOAD,
                ..terms
            },
            false => terms,
        };
        let base = self.token_request(kind, raw, at, terms);
        let browser = self.browser(kind, raw, at, terms);
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
            // RFC 6749 §4.1.3, RFC 7636 §4.5.
            GrantType::AuthorizationCode => Some(vec![
                ("grant_type", Template::written("authorization_code")),
                ("code", reference(Scope::Ask, "code")),
                ("redirect_uri", reference(Scope::Ask, "redirect_uri")),
                ("code_verifier", reference(Scope::Ask, "code_verifier")),
            ]),
            // RFC 8628 §3.4.
            GrantType::DeviceCode => Some(vec![
                ("grant_type", Template::written(DEVICE_CODE)),
                ("device_code", reference(Scope::Ask, "device_code")),
            ]),
            GrantType::RefreshToken | GrantType::Static => Some(Vec::new()),
        };
        let seed = match &raw.refresh_token {
            Field::Absent => Some(None),
            field => self.secret(field, &at.key("refresh_token"), terms).map(Some),
        };
        let (base, browser, own, seed) = (base?, browser?, own?, seed?);
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
            browser,
            refresh,
            seed,
        })
    }

    /// What is wrong with the values of a grant whose type isn't known.
    fn neighbours(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) {
        for (field, key) in [
            (&raw.token, "token"),
            (&raw.token_url, "token_url"),
            (&raw.client_id, "client_id"),
            (&raw.client_secret, "client_secret"),
            (&raw.scope, "scope"),
            (&raw.username, "username"),
            (&raw.password, "password"),
            (&raw.refresh_token, "refresh_token"),
        ] {
            let _ = self.value(field, &at.key(key), terms);
        }
        let _ = self.fields(&raw.extra, &at.key("extra"), terms);
    }

    /// A key that another grant has would silently do nothing.
    fn only_keys_of(&self, kind: GrantType, raw: &raw::Grant, at: &KeyPath) {
        let (name, own): (&str, &[&str]) = match kind {
            GrantType::Static => ("static", &["token"]),
            GrantType::ClientCredentials => ("client_credentials", &[]),
            GrantType::Password => ("password", &["username", "password"]),
            GrantType::RefreshToken => ("refresh_token", &["refresh_token"]),
            GrantType::AuthorizationCode => (
                "authorization_code",
                &["authorize_url", "redirect_port", "redirect_uri"],
            ),
            GrantType::DeviceCode => ("device_code", &["device_url"]),
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
            ("authorize_url", !raw.authorize_url.is_absent()),
            ("device_url", !raw.device_url.is_absent()),
            ("redirect_port", !raw.redirect_port.is_absent()),
            ("redirect_uri", !raw.redirect_uri.is_absent()),
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
    /// With a browser, scope and extra parameters are asked for once, by the request that begins it.
    fn token_request(&self, kind: GrantType, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Request> {
        let mut request = self.client_request(&raw.token_url, "token_url", raw, at, terms)?;
        if !matches!(kind, GrantType::AuthorizationCode | GrantType::DeviceCode) {
            let asked = self.asked_for(raw, at, terms)?;
            if let Body::Form(form) = &mut request.body {
                form.extend(asked);
            }
        }
        Some(request)
    }

    /// Scope and extra parameters.
    pub(super) fn asked_for(
        &self,
        raw: &raw::Grant,
        at: &KeyPath,
        terms: Terms<'_>,
    ) -> Option<Vec<(String, Template)>> {
        let scope = self.optional(&raw.scope, &at.key("scope"), terms);
        let extra = self.fields(&raw.extra, &at.key("extra"), terms);
        let mut fields: Vec<_> = scope?.map(|scope| ("scope".to_owned(), scope)).into_iter().collect();
        fields.extend(extra?);
        Some(fields)
    }

    pub(super) fn optional(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<Option<Template>> {
        match self.value(field, at, terms) {
            Resolved::Template(template) => Some(Some(template)),
            Resolved::LeftOut => Some(None),
            Resolved::Faulty => None,
        }
    }

    /// A request to an endpoint, with the client's authentication (RFC 6749 §2.3.1).
    pub(super) fn client_request(
        &self,
        url: &Field<Text>,
        key: &str,
        raw: &raw::Grant,
        at: &KeyPath,
        terms: Terms<'_>,
    ) -> Option<Request> {
        let url = self.url(url, &at.key(key), terms);
        let id = self.optional(&raw.client_id, &at.key("client_id"), terms);
        let secret = self.optional(&raw.client_secret, &at.key("client_secret"), terms);
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
