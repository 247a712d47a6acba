//! From a description to an HTTP message.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use form_urlencoded::{Serializer, byte_serialize};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use percent_encoding::{AsciiSet, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Basic, Body, Json, Request};
use crate::template::{Missing, Template, Values};

/// Encodes what is not ASCII and nothing else, so that a URL written in any language becomes a URI (RFC 3987 §3.1).
const NOT_ASCII: &AsciiSet = &AsciiSet::EMPTY;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("bearerd/", env!("CARGO_PKG_VERSION")));

/// Why a request can't be built. No value is in it: values may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A reference without an answer.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// Not an `http` or `https` URL.
    #[error("the request's url is not an http or https URL once its references are filled in: {0}")]
    Url(&'static str),
    /// A value that can't stand in a header field (RFC 9110 §5.5).
    #[error("the value of the header '{name}' {reason}, which no header field can carry; check where it comes from")]
    Header {
        /// The field.
        name: HeaderName,
        /// What is wrong with the value.
        reason: &'static str,
    },
    /// A field that describes the connection or the body's length; bearerd writes these itself.
    #[error("the header '{0}' is written by bearerd itself; leave it out of the request")]
    Reserved(HeaderName),
    /// Two ways to authenticate at once.
    #[error("the request has both 'basic' and a header 'authorization'; leave one out")]
    TwoAuthorizations,
    /// A user name that RFC 7617 §2 can't carry.
    #[error(
        "the user name of 'basic' has a colon, which ends it (RFC 7617); use 'form_encoded' where the server decodes it"
    )]
    Colon,
    /// A control character that RFC 7617 §2 forbids.
    #[error("the user name or password of 'basic' has a control character, such as the end of a line (RFC 7617)")]
    Control,
}

impl Request {
    /// The message, with every reference answered.
    ///
    /// Its URI and body hold secrets: neither may be printed. Header values are marked sensitive.
    pub fn build(&self, values: &dyn Values) -> Result<http::Request<Bytes>, BuildError> {
        let mut request = http::Request::new(Bytes::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri(values)?;
        let (content_type, body) = self.body.render(values)?;
        *request.headers_mut() = self.fields(values, content_type, body.is_empty())?;
        *request.body_mut() = body;
        Ok(request)
    }

    fn uri(&self, values: &dyn Values) -> Result<Uri, BuildError> {
        let rendered = self.url.render_url(values)?;
        // A fragment is never sent (RFC 9110 §4.2.5), and would swallow the parameters.
        let url = rendered.expose_secret().split('#').next().unwrap_or_default();
        let mut url = Zeroizing::new(utf8_percent_encode(url, NOT_ASCII).to_string());
        if !self.query.is_empty() {
            let pairs = urlencoded(&self.query, values)?;
            match url.split_once('?') {
                None => url.push('?'),
                Some((_, "")) => {}
                Some(_) => url.push('&'),
            }
            url.push_str(pairs.expose_secret());
        }
        let uri = Uri::try_from(url.as_str()).map_err(|_| BuildError::Url("a character or a part is out of place"))?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(BuildError::Url("it does not begin with http:// or https://")),
        }
        match uri.authority().map(|authority| authority.as_str()) {
            None | Some("") => Err(BuildError::Url("it has no host")),
            Some(authority) if authority.contains('@') => {
                Err(BuildError::Url("it has a user before its host; use 'basic'"))
            }
            Some(_) => Ok(uri),
        }
    }

    fn fields(
        &self,
        values: &dyn Values,
        content_type: Option<HeaderValue>,
        is_empty: bool,
    ) -> Result<HeaderMap, BuildError> {
        let mut fields = HeaderMap::new();
        if let Some(basic) = &self.basic {
            fields.insert(header::AUTHORIZATION, basic.render(values)?);
        }
        for (name, template) in &self.headers {
            if is_reserved(name) {
                return Err(BuildError::Reserved(name.clone()));
            }
            if self.basic.is_some() && name == header::AUTHORIZATION {
                return Err(BuildError::TwoAuthorizations);
            }
            let value = field_value(&template.render(values)?).map_err(|reason| BuildError::Header {
                name: name.clone(),
                reason,
            })?;
            fields.append(name, value);
        }
        if let Some(content_type) = content_type {
            fields.entry(header::CONTENT_TYPE).or_insert(content_type);
        }
        // RFC 9110 §8.6: a method that gives content a meaning says that there is none.
        if is_empty && matches!(self.method, Method::POST | Method::PUT | Method::PATCH) {
            fields.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        fields.entry(header::ACCEPT).or_insert(JSON);
        // Without this field a server may compress (RFC 9110 §12.5.3), and a refresh token be unreadable.
        fields.entry(header::ACCEPT_ENCODING).or_insert(IDENTITY);
        fields.entry(header::USER_AGENT).or_insert(USER_AGENT);
        Ok(fields)
    }
}

/// Fields that frame the message: a described one could make two messages of one.
fn is_reserved(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

/// A text as a field's value, byte for byte, or why it can't be one (RFC 9110 §5.5).
pub(in crate::credential) fn field_value(text: &SecretString) -> Result<HeaderValue, &'static str> {
    let text = text.expose_secret();
    if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
        return Err("begins or ends with a space");
    }
    if text.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
        return Err("has a control character, such as the end of a line");
    }
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| "has a character that is not allowed")?;
    value.set_sensitive(true);
    Ok(value)
}

impl Basic {
    fn render(&self, values: &dyn Values) -> Result<HeaderValue, BuildError> {
        let part = |template: &Template| -> Result<Zeroizing<String>, Missing> {
            let text = template.render(values)?;
            Ok(Zeroizing::new(if self.form_encoded {
                byte_serialize(text.expose_secret().as_bytes()).collect()
            } else {
                text.expose_secret().to_owned()
            }))
        };
        let (username, password) = (part(&self.username)?, part(&self.password)?);
        if username.contains(':') {
            return Err(BuildError::Colon);
        }
        if username.contains(char::is_control) || password.contains(char::is_control) {
            return Err(BuildError::Control);
        }
        Ok(basic_value(&username, &password))
    }
}

/// `Basic` and the base64 of both (RFC 7617 §2, UTF-8).
pub(in crate::credential) fn basic_value(username: &str, password: &str) -> HeaderValue {
    let pair = Zeroizing::new(format!("{username}:{password}"));
    let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    // Base64 is made of letters that every field can carry, so this can't fail.
    let mut value = HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// `application/x-www-form-urlencoded`, in the order written.
fn urlencoded(fields: &[(String, Template)], values: &dyn Values) -> Result<SecretString, Missing> {
    let mut pairs = Serializer::new(String::new());
    for (name, template) in fields {
        pairs.append_pair(name, template.render(values)?.expose_secret());
    }
    Ok(SecretString::from(pairs.finish()))
}

impl Body {
    fn render(&self, values: &dyn Values) -> Result<(Option<HeaderValue>, Bytes), Missing> {
        Ok(match self {
            Self::Empty => (None, Bytes::new()),
            Self::Form(fields) => {
                let pairs = urlencoded(fields, values)?;
                (Some(FORM), Bytes::copy_from_slice(pairs.expose_secret().as_bytes()))
            }
            Self::Json(json) => (Some(JSON), Bytes::from(json.render(values)?.to_string())),
        })
    }
}

impl Json {
    fn render(&self, values: &dyn Values) -> Result<serde_json::Value, Missing> {
        use serde_json::Value;
        Ok(match self {
            Self::Text(template) => Value::String(template.render(values)?.expose_secret().to_owned()),
            Self::Plain(value) => value.clone(),
            Self::Array(items) => Value::Array(items.iter().map(|item| item.render(values)).collect::<Result<_, _>>()?),
            Self::Object(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, value)| Ok((name.clone(), value.render(values)?)))
                    .collect::<Result<_, Missing>>()?,
            ),
        })
    }
}
