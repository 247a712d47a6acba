//! Described requests.

use http::{HeaderName, HeaderValue, Method, header};
use secrecy::ExposeSecret;

use super::{Check, entries};
use crate::{
    config::{
        fault::suggestion,
        node::{KeyPath, Node},
        raw::{self, Entries, Field, Text},
        resolve::{Allowed, Params, Resolved},
    },
    credential::grant::{Basic, Body, Json, Request},
    template::{Scope, Template},
};

/// Where `fields` can go.
const FIELDS_IN: [&str; 3] = ["query", "form", "json"];

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
        let template = self
            .resolve(text, at, crate::config::resolve::AT_LOAD, params)
            .template()?;
        let text = template.render(&()).ok()?.expose_secret().to_ascii_uppercase();
        let method = Method::from_bytes(text.as_bytes()).ok();
        if method.is_none() {
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
            Resolved::Template(url) => self.request_url(&url, at, terms.insecure).then_some(url),
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
                    let fits = self.fits_header(&template, &at);
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
        let Ok(known) = template.render(&|_: Scope, _: &str| Some(String::new())) else {
            return true;
        };
        let fits = HeaderValue::from_bytes(known.expose_secret().as_bytes()).is_ok();
        if !fits {
            self.fault(
                at,
                "this holds a control character, so it can't stand in a header field".into(),
                Some("a secret's file may have more than one line".into()),
            );
        }
        fits
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
        if !form_encoded && !self.fits_basic_user(&username, &at.key("username")) {
            return None;
        }
        Some(Some(Basic {
            username,
            password,
            form_encoded,
        }))
    }

    /// Whether what is known of a Basic user name has no colon, which would end it (RFC 7617 §2).
    pub(super) fn fits_basic_user(&self, username: &Template, at: &KeyPath) -> bool {
        let Ok(known) = username.render(&|_: Scope, _: &str| Some(String::new())) else {
            return true;
        };
        let fits = !known.expose_secret().contains(':');
        if !fits {
            self.fault(at, "a Basic user name can't hold a colon".into(), None);
        }
        fits
    }

    fn body(
        &self,
        raw: &raw::Request,
        at: &KeyPath,
        query: &mut Option<Vec<(String, Template)>>,
        terms: Terms<'_>,
    ) -> Option<Body> {
        let fields_in = match &raw.fields_in {
            Field::Absent => "form".to_owned(),
            Field::Faulty => return None,
            field => {
                let at = at.key("fields_in");
                let place = self.word(field, &at, terms)?;
                if !FIELDS_IN.contains(&place.as_str()) {
                    self.fault(
                        &at,
                        format!("fields go in one of {}", FIELDS_IN.join(", ")),
                        suggestion(&place, FIELDS_IN),
                    );
                    return None;
                }
                place
            }
        };
        let in_body = !raw.fields.is_absent() && fields_in != "query";
        let bodies = [
            (!raw.form.is_absent(), "form"),
            (!raw.json.is_absent(), "json"),
            (in_body, "fields"),
        ];
        let mut given = bodies.into_iter().filter_map(|(given, name)| given.then_some(name));
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.fault_at_key(
                &at.key(second),
                format!("a request has one body, and `{first}` is one too"),
                Some(format!("keep one, and set the other to null: `{first}: ~`")),
            );
            return None;
        }
        let fields = self.fields(&raw.fields, &at.key("fields"), terms)?;
        match (&raw.form, &raw.json, &raw.fields) {
            (form @ Field::Given(_), ..) => {
                let form = self.fields(form, &at.key("form"), terms);
                if fields_in == "query"
                    && let Some(query) = query
                {
                    query.extend(fields);
                }
                Some(Body::Form(form?))
            }
            (_, Field::Given(json), _) => {
                if fields_in == "query"
                    && let Some(query) = query
                {
                    query.extend(fields);
                }
                Some(Body::Json(self.json(&json.0, &at.key("json"), terms)?))
            }
            (_, _, Field::Given(_)) => Some(match fields_in.as_str() {
                "query" => {
                    if let Some(query) = query {
                        query.extend(fields);
                    }
                    Body::Empty
                }
                "json" => {
                    let texts = fields.into_iter().map(|(name, value)| (name, Json::Text(value)));
                    Body::Json(Json::Object(texts.collect()))
                }
                _ => Body::Form(fields),
            }),
            (Field::Faulty, ..) | (_, Field::Faulty, _) | (_, _, Field::Faulty) => None,
            (Field::Absent, Field::Absent, Field::Absent) => Some(Body::Empty),
        }
    }

    /// A word, which a parameter may give.
    fn word(&self, field: &Field<Text>, at: &KeyPath, terms: Terms<'_>) -> Option<String> {
        let Text(text) = field.given()?;
        let allowed = crate::config::resolve::AT_LOAD;
        let template = self.resolve(text, at, allowed, terms.params).template()?;
        Some(template.render(&()).ok()?.expose_secret().to_owned())
    }

    fn json(&self, node: &Node, at: &KeyPath, terms: Terms<'_>) -> Option<Json> {
        match node {
            Node::Text(text) => match serde_json::from_str(text) {
                Ok(value) => self.json_text(value, at, terms),
                // serde_json's own words name a place and what was expected there, and show none of the text.
                Err(error) => {
                    self.fault(
                        at,
                        format!(
                            "this is no JSON text (its line {}, column {})",
                            error.line(),
                            error.column()
                        ),
                        Some("write a mapping instead, or mend the JSON".into()),
                    );
                    None
                }
            },
            Node::Map(_) => self
                .json_node(node, at, terms)
                .map(|json| json.unwrap_or(Json::Object(Vec::new()))),
            Node::List(_) | Node::Absent => {
                self.fault(at, "this is to be a mapping or JSON text".into(), None);
                None
            }
        }
    }

    /// A value of a mapping; `Some(None)` is one to leave out.
    fn json_node(&self, node: &Node, at: &KeyPath, terms: Terms<'_>) -> Option<Option<Json>> {
        Some(match node {
            Node::Absent => None,
            Node::Text(text) => match self.resolve(text, at, terms.allowed, terms.params) {
                Resolved::Template(template) => Some(Json::Text(template)),
                Resolved::LeftOut => None,
                Resolved::Faulty => return None,
            },
            Node::List(items) => {
                let mut array = Vec::new();
                for (nth, item) in items.iter().enumerate() {
                    array.extend(self.json_node(item, &at.item(nth), terms)?);
                }
                Some(Json::Array(array))
            }
            Node::Map(entries) => {
                let mut object = Vec::new();
                for (name, value) in entries {
                    if let Some(json) = self.json_node(value, &at.key(name), terms)? {
                        object.push((name.clone(), json));
                    }
                }
                Some(Json::Object(object))
            }
        })
    }

    /// A value of a JSON text, whose strings are templates.
    fn json_text(&self, value: serde_json::Value, at: &KeyPath, terms: Terms<'_>) -> Option<Json> {
        use serde_json::Value;
        Some(match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => Json::Plain(value),
            Value::String(text) => match self.resolve(&text, at, terms.allowed, terms.params) {
                Resolved::Template(template) => Json::Text(template),
                Resolved::LeftOut => Json::Plain(Value::Null),
                Resolved::Faulty => return None,
            },
            Value::Array(items) => {
                let items = items.into_iter().map(|item| self.json_text(item, at, terms));
                Json::Array(items.collect::<Option<_>>()?)
            }
            Value::Object(fields) => {
                let fields = fields
                    .into_iter()
                    .map(|(name, value)| Some((name, self.json_text(value, at, terms)?)));
                Json::Object(fields.collect::<Option<_>>()?)
            }
        })
    }
}
