//! A described HTTP request, and building it.

mod build;
mod secrets;

#[cfg(test)]
mod tests;

pub use build::BuildError;
pub(super) use build::{basic_value, field_value};
pub use secrets::Secrets;

use std::fmt;

use http::{HeaderName, Method};

use crate::template::Template;

/// A request as the config describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Its URL. Written text is kept as it is, values are encoded as path segments.
    pub url: Template,
    /// Parameters added to the URL's query, in order.
    pub query: Vec<(String, Template)>,
    /// Header fields, in order.
    pub headers: Vec<(HeaderName, Template)>,
    /// HTTP Basic authentication (RFC 7617).
    pub basic: Option<Basic>,
    /// Its body.
    pub body: Body,
}

/// HTTP Basic credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basic {
    /// Before the colon.
    pub username: Template,
    /// After it.
    pub password: Template,
    /// Whether both are form-encoded first, as RFC 6749 §2.3.1 says for client authentication.
    pub form_encoded: bool,
}

/// A request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// None, and `content-length: 0` where the method calls for one.
    Empty,
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, Template)>),
    /// `application/json`.
    Json(Json),
}

/// JSON whose strings are templates. Debug shows its shape: a number may be a secret too.
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// A string.
    Text(Template),
    /// A number, a boolean or null, as written.
    Plain(serde_json::Value),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order written.
    Object(Vec<(String, Json)>),
}

impl Request {
    /// Every template in it.
    pub fn templates(&self) -> impl Iterator<Item = &Template> {
        let mut all = vec![&self.url];
        all.extend(self.query.iter().map(|(_, value)| value));
        all.extend(self.headers.iter().map(|(_, value)| value));
        if let Some(basic) = &self.basic {
            all.extend([&basic.username, &basic.password]);
        }
        match &self.body {
            Body::Empty => {}
            Body::Form(fields) => all.extend(fields.iter().map(|(_, value)| value)),
            Body::Json(json) => json.collect(&mut all),
        }
        all.into_iter()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(template) => template.fmt(f),
            Self::Plain(_) => f.write_str("Plain"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
            Self::Object(fields) => f
                .debug_map()
                .entries(fields.iter().map(|(name, value)| (name, value)))
                .finish(),
        }
    }
}

impl Json {
    fn collect<'a>(&'a self, all: &mut Vec<&'a Template>) {
        match self {
            Self::Text(template) => all.push(template),
            Self::Plain(_) => {}
            Self::Array(items) => items.iter().for_each(|item| item.collect(all)),
            Self::Object(fields) => fields.iter().for_each(|(_, value)| value.collect(all)),
        }
    }
}
