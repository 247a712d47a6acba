//! Where the access token goes in a request.

use http::{HeaderName, HeaderValue};

use crate::template::Template;

/// A placement as the config describes it.
#[derive(Debug, Clone)]
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
        name: std::sync::Arc<str>,
        /// `name=value`, encoded.
        pair: std::sync::Arc<secrecy::SecretString>,
    },
    /// A body field or a query parameter.
    Form {
        /// Its decoded name, for removing the caller's own.
        name: std::sync::Arc<str>,
        /// `name=value`, encoded.
        pair: std::sync::Arc<secrecy::SecretString>,
    },
}
