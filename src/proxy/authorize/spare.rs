//! A request's head, kept in case the request must be sent again.
//!
//! Hardly any is, and hyper takes apart the one that it sends. So it is kept as cheaply as can be, in one piece of memory,
//! and put together again where it is needed.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts, uri::PathAndQuery};

use crate::proxy::ProxyError;

/// Nothing of it is shown: it may hold secrets (law 9).
pub(super) struct Spare {
    method: Method,
    version: Version,
    /// With scheme and authority, which few have here. Else the target comes first in the text.
    uri: Option<Uri>,
    /// Pieces, each after its length: the target; and each field's name, and its value after a byte that says whether it
    /// is sensitive.
    text: Vec<u8>,
}

impl Spare {
    /// A copy of this head, whose extensions don't count.
    pub(super) fn of(head: &Parts) -> Self {
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let fields: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 9)
            .sum();
        let mut text = Vec::with_capacity(4 + target.len() + fields);
        push(&mut text, target.as_bytes());
        for (name, value) in &head.headers {
            push(&mut text, name.as_str().as_bytes());
            text.push(u8::from(value.is_sensitive()));
            push(&mut text, value.as_bytes());
        }
        Self {
            method: head.method.clone(),
            version: head.version,
            uri: head.uri.authority().map(|_| head.uri.clone()),
            text,
        }
    }

    /// Its method.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// The head, once more.
    pub(super) fn head(&self) -> Result<Parts, ProxyError> {
        // It was one before, so nothing of this can fail.
        self.read().ok_or(ProxyError::Internal)
    }

    fn read(&self) -> Option<Parts> {
        let (mut head, ()) = Request::new(()).into_parts();
        let mut rest = &self.text[..];
        let target = next(&mut rest)?;
        head.method = self.method.clone();
        head.version = self.version;
        head.uri = match &self.uri {
            Some(uri) => uri.clone(),
            None => PathAndQuery::try_from(target).ok()?.into(),
        };
        while !rest.is_empty() {
            let name = HeaderName::from_bytes(next(&mut rest)?).ok()?;
            let (is_sensitive, after) = rest.split_first()?;
            rest = after;
            let mut value = HeaderValue::from_bytes(next(&mut rest)?).ok()?;
            value.set_sensitive(*is_sensitive == 1);
            head.headers.append(name, value);
        }
        Some(head)
    }
}

fn push(text: &mut Vec<u8>, piece: &[u8]) {
    // Heads are far smaller than four gibibytes.
    text.extend_from_slice(&(piece.len() as u32).to_ne_bytes());
    text.extend_from_slice(piece);
}

fn next<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (piece, after) = after.split_at_checked(u32::from_ne_bytes(*length) as usize)?;
    *rest = after;
    Some(piece)
}

#[cfg(test)]
mod tests {
    use http::header::{COOKIE, HOST};
    use proptest::prelude::*;

    use super::*;

    fn head(method: &str, uri: &str, fields: &[(&str, &[u8], bool)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value, is_sensitive) in fields {
            let mut value = HeaderValue::from_bytes(value).unwrap();
            value.set_sensitive(*is_sensitive);
            request = request.header(*name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn assert_same(head: &Parts) {
        let again = Spare::of(head).head().unwrap();
        assert_eq!(
            (&again.method, &again.uri, again.version),
            (&head.method, &head.uri, head.version)
        );
        assert_eq!(again.headers, head.headers);
        let sensitive = |head: &Parts| head.headers.values().map(HeaderValue::is_sensitive).collect::<Vec<_>>();
        assert_eq!(sensitive(&again), sensitive(head));
    }

    #[test]
    fn a_head_is_the_same_again() {
        let fields: &[(&str, &[u8], bool)] = &[
            (HOST.as_str(), b"api.example:8443", false),
            (COOKIE.as_str(), b"a=b", true),
            ("x-own", b"", false),
            (COOKIE.as_str(), b"\xff; c=d", false),
        ];
        assert_same(&head("PATCH", "/a/b?c=%2F&d", fields));
        assert_same(&head("PURGE", "/", &[]));
        assert_same(&head("GET", "https://api.example/p?q", fields));
        assert_same(&head("OPTIONS", "*", &[]));
    }

    proptest! {
        #[test]
        fn whatever_its_fields(fields in prop::collection::vec(("[a-z][a-z0-9-]{0,20}", "[ -~]{0,60}", any::<bool>()), 0..30)) {
            let fields: Vec<(&str, &[u8], bool)> = fields.iter().map(|(name, value, is)| (&name[..], value.as_bytes(), *is)).collect();
            assert_same(&head("POST", "/orders?page=2", &fields));
        }
    }
}
