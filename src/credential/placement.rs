//! Where the access token goes in a request.

mod header;
mod parameter;

#[cfg(test)]
mod tests;

pub use header::{put_header, reads_alike, strip_field, strip_headers};
pub use parameter::{rewrite_form, rewrite_query, strip_location, strip_query};

use std::{borrow::Cow, fmt, sync::Arc};

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};
use percent_encoding::utf8_percent_encode;
use secrecy::{ExposeSecret, SecretString};

use super::grant::{basic_value, field_value};
use crate::template::{Missing, SEGMENT, Scope, Template};

/// A placement as the config describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// In a header field; bearer is `authorization: Bearer ${token:access}` (RFC 6750 §2.1).
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value.
        value: Template,
    },
    /// As HTTP Basic credentials (RFC 7617).
    Basic {
        /// Before the colon.
        username: Template,
        /// After it.
        password: Template,
    },
    /// In a parameter of the query.
    Query(String),
    /// In a field of an urlencoded body, and in the query of every other request.
    Form(String),
}

/// A placement with an access token in it: what the request path injects, made once per generation.
#[derive(Clone)]
pub enum Injection {
    /// A header field; the value is marked sensitive.
    Header(HeaderName, HeaderValue),
    /// A query parameter.
    Query {
        /// Its decoded name, for removing the caller's own.
        name: Arc<str>,
        /// `name=value`, encoded.
        pair: Arc<SecretString>,
    },
    /// A body field or a query parameter.
    Form {
        /// Its decoded name, for removing the caller's own.
        name: Arc<str>,
        /// `name=value`, encoded.
        pair: Arc<SecretString>,
    },
}

impl fmt::Debug for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name, _) => write!(f, "Injection::Header({name})"),
            Self::Query { name, .. } => write!(f, "Injection::Query({name})"),
            Self::Form { name, .. } => write!(f, "Injection::Form({name})"),
        }
    }
}

/// Why an access token can't stand where its placement says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// A reference without an answer.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// A value that can't stand in a header field.
    #[error(
        "the placement's header '{name}' {reason}, which no header field can carry; check the token and 'placement'"
    )]
    Header {
        /// The field.
        name: HeaderName,
        /// What is wrong with the value.
        reason: &'static str,
    },
    /// A user name that RFC 7617 §2 can't carry.
    #[error("the user name of the placement 'basic' has a colon, which ends it (RFC 7617)")]
    Colon,
    /// A control character that RFC 7617 §2 forbids.
    #[error("the placement 'basic' has a control character in its user name or password (RFC 7617)")]
    Control,
}

impl Placement {
    /// The header field that it fills, which no caller may send: `authorization` aside, which none ever may.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Basic { .. } => Some(&AUTHORIZATION),
            Self::Query(_) | Self::Form(_) => None,
        }
    }

    /// The decoded name of the parameter that it fills, which no caller may send.
    pub fn parameter(&self) -> Option<&str> {
        match self {
            Self::Header { .. } | Self::Basic { .. } => None,
            Self::Query(name) | Self::Form(name) => Some(name),
        }
    }

    /// Renders it with an access token.
    pub fn inject_from(&self, access: &SecretString) -> Result<Injection, PlacementError> {
        let access = access.expose_secret();
        let values = Access(access);
        match self {
            Self::Header { name, value } => {
                let value = field_value(&value.render(&values)?).map_err(|reason| PlacementError::Header {
                    name: name.clone(),
                    reason,
                })?;
                Ok(Injection::Header(name.clone(), value))
            }
            Self::Basic { username, password } => {
                let (username, password) = (username.render(&values)?, password.render(&values)?);
                let (username, password) = (username.expose_secret(), password.expose_secret());
                if username.contains(':') {
                    return Err(PlacementError::Colon);
                }
                if username.contains(char::is_control) || password.contains(char::is_control) {
                    return Err(PlacementError::Control);
                }
                Ok(Injection::Header(AUTHORIZATION, basic_value(username, password)))
            }
            Self::Query(name) => Ok(Injection::Query {
                name: name.as_str().into(),
                pair: pair(name, access),
            }),
            Self::Form(name) => Ok(Injection::Form {
                name: name.as_str().into(),
                pair: pair(name, access),
            }),
        }
    }
}

/// Answers `${token:access}`.
struct Access<'a>(&'a str);

impl crate::template::Values for Access<'_> {
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, str>> {
        (scope == Scope::Token && name == "access").then_some(Cow::Borrowed(self.0))
    }
}

/// `name=value`, encoded so that queries and forms read it alike: a space is `%20` to both.
fn pair(name: &str, value: &str) -> Arc<SecretString> {
    let (name, value) = (utf8_percent_encode(name, SEGMENT), utf8_percent_encode(value, SEGMENT));
    Arc::new(SecretString::from(format!("{name}={value}")))
}
