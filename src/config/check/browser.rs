//! The standard grants that need a browser: what begins them.

use http::{Method, Uri};

use super::{Check, grant::reference, request::Terms};
use crate::{
    config::{
        node::KeyPath,
        raw::{self, Field, GrantType},
        resolve::AT_LOAD,
    },
    credential::{
        browser::{Browser, Redirect},
        grant::{Body, Request},
    },
    template::{Scope, Template},
};

/// The grant type of RFC 8628 §3.4.
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What bearerd itself writes into the authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3).
const OF_OURS: [&str; 6] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
];

impl Check<'_> {
    /// How a person signs in with a browser: `Some(None)` for grants that need none; `None` comes with a fault.
    pub(super) fn browser(
        &self,
        kind: GrantType,
        raw: &raw::Grant,
        at: &KeyPath,
        terms: Terms<'_>,
    ) -> Option<Option<Browser>> {
        match kind {
            GrantType::AuthorizationCode => {
                let (authorize, redirect) = (self.authorize(raw, at, terms), self.redirect(raw, at, terms));
                Some(Some(Browser::Code {
                    authorize: Box::new(authorize?),
                    redirect: redirect?,
                }))
            }
            GrantType::DeviceCode => {
                self.client_id(raw, at, terms)?;
                let mut request = self.client_request(&raw.device_url, "device_url", raw, at, terms)?;
                let asked = self.asked_for(raw, at, terms)?;
                if let Body::Form(form) = &mut request.body {
                    form.extend(asked);
                }
                Some(Some(Browser::Device(Box::new(request))))
            }
            GrantType::Static | GrantType::ClientCredentials | GrantType::Password | GrantType::RefreshToken => {
                Some(None)
            }
        }
    }

    /// The page to open (RFC 6749 §4.1.1), always with PKCE's `S256` (RFC 7636 §4.3).
    fn authorize(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Request> {
        let url = self.url(&raw.authorize_url, &at.key("authorize_url"), terms);
        let id = self.client_id(raw, at, terms);
        let asked = self.asked_for(raw, at, terms)?;
        for (name, _) in &asked {
            if OF_OURS.contains(&name.as_str()) {
                self.fault_at_key(
                    &at.key("extra").key(name),
                    format!("bearerd writes `{name}` itself"),
                    None,
                );
                return None;
            }
        }
        let mut query = vec![
            ("response_type".to_owned(), Template::written("code")),
            ("client_id".to_owned(), id?),
        ];
        for name in ["redirect_uri", "state", "code_challenge"] {
            query.push((name.to_owned(), reference(Scope::Ask, name)));
        }
        query.push(("code_challenge_method".to_owned(), Template::written("S256")));
        query.extend(asked);
        Some(Request {
            method: Method::GET,
            url: url?,
            query,
            headers: Vec::new(),
            basic: None,
            body: Body::Empty,
        })
    }

    /// The client's id, which the request that begins it must hold.
    fn client_id(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Template> {
        let id = self.optional(&raw.client_id, &at.key("client_id"), terms)?;
        // With a secret, the token request says so already.
        if id.is_none() && raw.client_secret.is_absent() {
            self.fault_at_key(
                at,
                "`client_id` is missing".into(),
                Some("give the id under which bearerd is registered with the provider".into()),
            );
        }
        id
    }

    fn redirect(&self, raw: &raw::Grant, at: &KeyPath, terms: Terms<'_>) -> Option<Redirect> {
        let at_load = Terms {
            allowed: AT_LOAD,
            ..terms
        };
        let registered = self.optional(&raw.redirect_uri, &at.key("redirect_uri"), at_load)?;
        let port = match raw.redirect_port {
            Field::Faulty => return None,
            Field::Given(0) => {
                self.fault(
                    &at.key("redirect_port"),
                    "port 0 is none that a provider could know".into(),
                    Some("leave it away to have a free port each time".into()),
                );
                return None;
            }
            Field::Given(port) => Some(port),
            Field::Absent => None,
        };
        let Some(registered) = registered else {
            return Some(Redirect::Loopback { port });
        };
        if port.is_some() {
            self.fault_at_key(
                &at.key("redirect_port"),
                "`redirect_uri` says where the browser is sent already".into(),
                Some("keep one of the two".into()),
            );
            return None;
        }
        let uri = registered.render(&()).ok()?;
        let uri = secrecy::ExposeSecret::expose_secret(&uri);
        // RFC 6749 §3.1.2: absolute, and without a fragment. Not only http: `urn:ietf:wg:oauth:2.0:oob` is in use.
        let absolute = uri.parse::<Uri>().is_ok_and(|uri| uri.scheme().is_some()) || uri.starts_with("urn:");
        if !absolute || uri.contains('#') {
            self.fault(
                &at.key("redirect_uri"),
                "this is no absolute URI without a fragment".into(),
                Some("write it exactly as it is registered with the provider".into()),
            );
            return None;
        }
        Some(Redirect::Registered(uri.to_owned()))
    }
}
