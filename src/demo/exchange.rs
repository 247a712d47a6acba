//! A request as an emulated API reads it, and what it answers.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{
    authority::{Cause, Holder, Rotation},
    count::Grant,
};

/// Names and values, decoded, in order.
pub(super) type Pairs = Vec<(String, String)>;

/// An API, as its vendor's document describes it.
pub(super) trait Vendor: Send + Sync + 'static {
    /// What the request is for.
    fn purpose(&self, call: &Call) -> Purpose;

    /// Answers a token request.
    fn token(&self, call: &Call, rotation: Rotation) -> Reply;

    /// Answers another described request: a device linked, an account made. Most vendors have none.
    fn step(&self, _: &Call) -> Reply {
        Reply::bare(StatusCode::NOT_FOUND)
    }

    /// Who a data call speaks for.
    fn authorise(&self, call: &Call) -> Result<Holder, Cause>;

    /// How the API words a data call's refusal.
    fn denied(&self, cause: Cause) -> Reply;
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tokens.
    Token(Grant),
    /// One of the vendor's own steps.
    Step,
    /// Data; success has this status.
    Data(StatusCode),
    /// The path is known, the method is not one of its own.
    WrongMethod,
    /// Nothing the document names.
    Nothing,
}

/// A request, read whole.
pub(super) struct Call {
    pub(super) method: Method,
    /// As on the wire.
    pub(super) path: String,
    /// As on the wire; empty where there was none.
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Received,
}

/// A body: always hashed, held only where it is small.
pub(super) struct Received {
    pub(super) sha256: String,
    pub(super) length: u64,
    pub(super) held: Option<Bytes>,
}

impl Call {
    /// The path's segments, each decoded.
    pub(super) fn segments(&self) -> Vec<String> {
        self.path
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect()
    }

    /// The query's parameters.
    pub(super) fn query(&self) -> Pairs {
        pairs(self.query.as_bytes())
    }

    /// The body's fields, if it is an urlencoded form.
    pub(super) fn form(&self) -> Option<Pairs> {
        self.is("application/x-www-form-urlencoded")
            .then(|| self.body.held.as_deref().map(pairs))
            .flatten()
    }

    /// The body's members, if it is a JSON object.
    pub(super) fn json(&self) -> Option<Map<String, Value>> {
        self.is("application/json")
            .then(|| serde_json::from_slice(self.body.held.as_deref()?).ok())
            .flatten()
    }

    /// The body's fields, as a form or as a JSON object of strings.
    pub(super) fn fields(&self) -> Option<Pairs> {
        self.form().or_else(|| {
            self.json()?
                .into_iter()
                .map(|(name, value)| Some((name, value.as_str()?.to_owned())))
                .collect()
        })
    }

    /// The `Authorization` header. Two of them are as good as none: one would be the caller's own.
    pub(super) fn authorization(&self) -> Option<&str> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.to_str().ok())?
    }

    /// A bearer token (RFC 6750 §2.1).
    pub(super) fn bearer(&self) -> Option<&str> {
        self.credentials("bearer")
    }

    /// A user name and a password (RFC 7617).
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let decoded = STANDARD.decode(self.credentials("basic")?).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    fn credentials(&self, scheme: &str) -> Option<&str> {
        let (named, credentials) = self.authorization()?.split_once(' ')?;
        named.eq_ignore_ascii_case(scheme).then_some(credentials)
    }

    fn is(&self, media_type: &str) -> bool {
        self.headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case(media_type))
    }
}

fn pairs(urlencoded: &[u8]) -> Pairs {
    form_urlencoded::parse(urlencoded)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

/// The value of a parameter that is given exactly once (RFC 6749 §3.2).
pub(super) fn once<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let mut found = pairs.iter().filter(|(given, _)| given == name);
    let (_, value) = found.next()?;
    found.next().is_none().then_some(value.as_str())
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) payload: Payload,
}

/// An answer's body.
pub(super) enum Payload {
    Empty,
    Json(Value),
    Text(&'static str, Bytes),
}

impl Reply {
    /// A status and nothing else.
    pub(super) fn bare(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            payload: Payload::Empty,
        }
    }

    /// A status and a JSON body.
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        Self {
            payload: Payload::Json(body),
            ..Self::bare(status)
        }
    }

    /// The same, with this header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}
