//! Who a request's token is for, read from the request itself.

use std::{borrow::Cow, fmt};

use http::HeaderMap;
use secrecy::{ExposeSecret, SecretString};

use crate::{
    proxy::{ProxyError, route::Entry},
    template::{Scope, Values},
};

/// The longest part, in bytes: each subject is held in memory, and a caller must not decide how much that is.
const LONGEST_PART: usize = 16 * 1024;

/// The parts of a request's subject, by name, in the credential's order.
#[derive(Clone, Default)]
pub struct Subject(Vec<(String, SecretString)>);

impl Subject {
    /// Reads each part from exactly one place: one that is absent, empty or repeated could be another's token.
    pub(super) fn read(entry: &Entry, headers: &HeaderMap, captures: &[(String, String)]) -> Result<Self, ProxyError> {
        let Some(manager) = &entry.manager else {
            return Ok(Self::default());
        };
        let spec = manager.spec();
        let mut parts = Vec::with_capacity(spec.subject.len());
        for part in &spec.subject {
            let missing = |scope: Scope, name: &str, found| ProxyError::SubjectMissing {
                credential: spec.name.clone(),
                part: part.name.clone(),
                from: match scope {
                    Scope::Header => format!("one header '{name}'"),
                    _ => format!("'{name}' in the path"),
                },
                found,
            };
            for (scope, name) in part.from.references() {
                if scope == Scope::Header && headers.get_all(name).iter().nth(1).is_some() {
                    return Err(missing(scope, name, "several of it"));
                }
                if RequestValues::new(headers, captures, None).value(scope, name).is_none() {
                    return Err(missing(scope, name, "none"));
                }
            }
            let text = part
                .from
                .render(&RequestValues::new(headers, captures, None))
                .map_err(|lack| missing(lack.scope, &lack.name, "none"))?;
            if let Some(fault) = unfit(text.expose_secret()) {
                return Err(ProxyError::bad_request(format!(
                    "the part '{}' of the subject of credential '{}' {fault}",
                    part.name, spec.name
                )));
            }
            parts.push((part.name.clone(), text));
        }
        Ok(Self(parts))
    }

    /// Names and texts.
    pub fn parts(&self) -> &[(String, SecretString)] {
        &self.0
    }
}

/// Why a text can't be a part, if it can't.
fn unfit(text: &str) -> Option<&'static str> {
    // As a segment of a URL these two walk, and a server may read them so even where they are encoded (RFC 3986 §6.2.2).
    if matches!(text, "." | "..") {
        return Some("is a '.' or '..'");
    }
    (text.len() > LONGEST_PART).then_some("is longer than 16 KiB, which no token or name is")
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// What templates can say of a request.
pub(super) struct RequestValues<'r> {
    headers: &'r HeaderMap,
    captures: &'r [(String, String)],
    subject: Option<&'r Subject>,
}

impl<'r> RequestValues<'r> {
    pub(super) fn new(headers: &'r HeaderMap, captures: &'r [(String, String)], subject: Option<&'r Subject>) -> Self {
        Self {
            headers,
            captures,
            subject,
        }
    }
}

impl Values for RequestValues<'_> {
    fn value(&self, scope: Scope, name: &str) -> Option<Cow<'_, str>> {
        let text = match scope {
            Scope::Header => {
                let mut values = self.headers.get_all(name).iter();
                let (Some(value), None) = (values.next(), values.next()) else {
                    return None;
                };
                std::str::from_utf8(value.as_bytes()).ok()?
            }
            Scope::Path => &self.captures.iter().find(|(other, _)| other == name)?.1,
            Scope::Subject => {
                let (_, value) = self.subject?.parts().iter().find(|(other, _)| other == name)?;
                value.expose_secret()
            }
            Scope::Ask | Scope::Token => return None,
        };
        (!text.is_empty()).then_some(Cow::Borrowed(text))
    }
}
