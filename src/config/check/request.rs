//! Described requests.

use http::{HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;

use super::{Check, entries};
use crate::{
    config::{
        node::KeyPath,
        param::Params,
        raw::{self, Entries, Field, Text},
        resolve::{AT_LOAD, Allowed, Resolved},
    },
    credential::grant::{Basic, Request},
    template::{Scope, Template},
};

/// Header fields that belong to the connection or the message's framing (RFC 9110 §7.6.1): the client writes them.
const FRAMING: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// What a credential's requests are checked with.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) allowed: Allowed<'a>,
    pub(super) params: Option<&'a Params<'a>>,
    pub(super) insecure: bool,
}

/// Why a text would not arrive as it is in a header field.
pub(super) fn unfit_for_header(text: &str) -> Option<&'static str> {
    if HeaderValue::from_bytes(text.as_bytes()).is_err() {
        Some("holds a control character, so it can't stand in a header field")
    } else if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
        // Receivers drop such space (RFC 9110 §5.5).
        Some("begins or ends with space, which a header field would lose")
    } else {
        None
    }
}

impl Check<'_> {
    /// A described request; `None` comes with a fault.
    pub(super) fn request(&self, raw: &raw::Request, at: &KeyPath, terms: Terms<'_>) -> Option<Request> {
        let method = match &raw.method {
            Field::Absent => Some(Method::POST),
            method => self.method(method, &at.key("method"), terms.params),
        };
        let url = self.url(&raw.url, &at.key("url"), terms);
        let mut query = self.fields(&raw.query, &at.key("query"), terms);
        let headers = self.headers(&raw.headers, &at.key("headers"), terms.allowed, terms.params);
        let basic = match raw.basic.given() {
            Some(basic) => self.basic(basic, &at.key("basic"), terms),
            None => Some(None),
        };
        let body = self.body(raw, at, &mut query, terms);
        Some(Request {
            method: method?,
            url: url?,
            query: query?,
            headers: headers?,
            basic: basic?,
            body: body?,
        })
    }

    fn method(&self, field: &Field<Text>, at: &KeyPath, params: Option<&Params<'_>>) -> Option<Method> {
        let Text(text) = field.given()?;
        let template = self.resolve(text, at, AT_LOAD, params).template()?;
        let text = template.render(&()).ok()?.expose_secret().to_ascii_uppercase();
        let method = Method::from_bytes(text.as_bytes()).ok();
        if method.is_none() {
            let at = &self.cause(field, at, params);
            self.fault(at, "this is no HTTP method".into(), Some("such as GET or POST".into()));
        }
        method
    }

    /// A URL that must be there.
    pub(super) fn url(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<Template> {
        let text = match field {
            Field::Given(Text(text)) => text,
            Field::Faulty => return None,
            Field::Absent => {
                self.fault_at_key(at, "a URL is missing".into(), Some("give `https://HOST/PATH`".into()));
                return None;
            }
        };
        match self.resolve_url(text, at, terms.allowed, terms.params) {
            Resolved::Template(url) => {
                let at = self.cause(field, at, terms.params);
                self.request_url(&url, &at, terms.insecure).then_some(url)
            }
            Resolved::LeftOut => {
                self.fault_at_key(at, "a URL is missing: its parameter is absent".into(), None);
                None
            }
            Resolved::Faulty => None,
        }
    }

    /// Parameters by name, in order; those that are nothing but an absent parameter are left out.
    pub(super) fn fields(
        &self,
        field: &Field<Entries<Field<Text>>>,
        at: &KeyPath,
        terms: Terms<'_>,
    ) -> Option<Vec<(String, Template)>> {
        let mut fields = Some(Vec::new());
        for (name, value) in entries(field) {
            match self.value(value, &at.key(name), terms) {
                Resolved::Template(template) => {
                    if let Some(fields) = &mut fields {
                        fields.push((name.clone(), template));
                    }
                }
                Resolved::LeftOut => {}
                Resolved::Faulty => fields = None,
            }
        }
        fields.filter(|_| *field != Field::Faulty)
    }

    /// A value; an absent one is left out.
    pub(super) fn value(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Resolved {
        match field {
            Field::Given(Text(text)) => self.resolve(text, at, terms.allowed, terms.params),
            Field::Absent => Resolved::LeftOut,
            Field::Faulty => Resolved::Faulty,
        }
    }

    /// Header fields by name.
    pub(super) fn headers(
        &self,
        field: &Field<Entries<Field<Text>>>,
        at: &KeyPath,
        allowed: Allowed<'_>,
        params: Option<&Params<'_>>,
    ) -> Option<Vec<(HeaderName, Template)>> {
        let terms = Terms {
            allowed,
            params,
            insecure: false,
        };
        let mut headers = Some(Vec::new());
        for (name, value) in entries(field) {
            let at = at.key(name);
            let name = self.header_name(name, &at);
            match self.value(value, &at, terms) {
                Resolved::Template(template) => {
                    let fits = self.fits_header(&template, &self.cause(value, &at, params));
                    match (name, &mut headers) {
                        (Some(name), Some(headers)) if fits => headers.push((name, template)),
                        _ => headers = None,
                    }
                }
                Resolved::LeftOut => {}
                Resolved::Faulty => headers = None,
            }
        }
        headers.filter(|_| *field != Field::Faulty)
    }

    /// The name of a header field that may be set.
    pub(super) fn header_name(&self, name: &str, at: &KeyPath) -> Option<HeaderName> {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) if FRAMING.contains(&name) => {
                self.fault_at_key(
                    at,
                    "this header field is of the connection and can't be set".into(),
                    None,
                );
                None
            }
            Ok(name) => Some(name),
            Err(_) => {
                self.fault_at_key(at, "this is no name of a header field".into(), None);
                None
            }
        }
    }

    /// Whether what is known of a header's value can stand in one.
    fn fits_header(&self, template: &Template, at: &KeyPath) -> bool {
        let Ok(known) = template.render(&|_: Scope, _: &str| Some("x".to_owned())) else {
            return true;
        };
        let why = unfit_for_header(known.expose_secret());
        if let Some(why) = why {
            self.fault(
                at,
                format!("this {why}"),
                Some("a secret's file may hold more than the secret".into()),
            );
            return false;
        }
        why.is_none()
    }

    /// Basic credentials: `Some(None)` where both halves are absent parameters.
    fn basic(&self, raw: &raw::Basic, at: &KeyPath, terms: Terms<'_>) -> Option<Option<Basic>> {
        let username = self.value(&raw.username, &at.key("username"), terms);
        let password = self.value(&raw.password, &at.key("password"), terms);
        let form_encoded = self.flag(&raw.form_encoded, false);
        let (username, password) = match (username, password) {
            (Resolved::Faulty, _) | (_, Resolved::Faulty) => return None,
            (Resolved::LeftOut, Resolved::LeftOut) => {
                if raw.username.is_absent() && raw.password.is_absent() {
                    self.fault_at_key(at, "`basic` has neither `username` nor `password`".into(), None);
                    return None;
                }
                return Some(None);
            }
            (username, password) => (
                username.template().unwrap_or_default(),
                password.template().unwrap_or_default(),
            ),
        };
        // Form-encoded, each can hold anything (RFC 6749 §2.3.1).
        if !form_encoded && !self.fits_basic((&username, &password), raw, at, terms.params) {
            return None;
        }
        Some(Some(Basic {
            username,
            password,
            form_encoded,
        }))
    }

    /// Whether what is known of Basic credentials can stand in them: RFC 7617 §2 knows no control characters, and a
    /// colon ends the user name.
    pub(super) fn fits_basic(
        &self,
        (username, password): (&Template, &Template),
        raw: &raw::Basic,
        at: &KeyPath,
        params: Option<&Params<'_>>,
    ) -> bool {
        let of_username = self.cause(&raw.username, &at.key("username"), params);
        let of_password = self.cause(&raw.password, &at.key("password"), params);
        let holds = |half: &Template, unfit: fn(char) -> bool| {
            half.render(&|_: Scope, _: &str| Some(String::new()))
                .is_ok_and(|known| known.expose_secret().contains(unfit))
        };
        let mut fits = true;
        for (half, at) in [(username, &of_username), (password, &of_password)] {
            if holds(half, char::is_control) {
                fits = false;
                self.fault(
                    at,
                    "this holds a control character, so it can't stand in Basic credentials".into(),
                    Some("a secret's file may have more than one line".into()),
                );
            }
        }
        if holds(username, |c| c == ':') {
            fits = false;
            self.fault(&of_username, "a Basic user name can't hold a colon".into(), None);
        }
        fits
    }
}
