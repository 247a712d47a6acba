//! Putting the credential into a request, in place of whatever the caller sent there.

use bytes::Bytes;
use http::{HeaderValue, Uri, header::CONTENT_LENGTH, request::Parts, uri::PathAndQuery};
use http_body_util::{BodyExt, Full};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    credential::placement::{Injection, put_header, rewrite_form, rewrite_query, strip_query},
    proxy::ProxyError,
    upstream::Body,
};

/// Puts the credential into a header field or the query, in place of the caller's own.
pub(super) fn into_head(parts: &mut Parts, injection: &Injection) -> Result<(), ProxyError> {
    match injection {
        Injection::Header(name, value) => {
            put_header(&mut parts.headers, name, value);
            Ok(())
        }
        Injection::Query { name, pair } | Injection::Form { name, pair } => {
            parts.uri = with_query(
                &parts.uri,
                &rewrite_query(parts.uri.query(), name, pair.expose_secret()),
            )?;
            Ok(())
        }
    }
}

/// Puts the credential into a form, in place of the caller's own field and parameter.
pub(super) fn into_form(parts: &mut Parts, form: &[u8], name: &str, pair: &SecretString) -> Result<Body, ProxyError> {
    if let Some(query) = parts.uri.query() {
        parts.uri = with_query(&parts.uri, &strip_query(query, name))?;
    }
    let form = Bytes::from(rewrite_form(form, name, pair.expose_secret()));
    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(form.len()));
    Ok(Full::new(form).map_err(|never| match never {}).boxed_unsync())
}

fn with_query(uri: &Uri, query: &str) -> Result<Uri, ProxyError> {
    let mark = if query.is_empty() { "" } else { "?" };
    let target = format!("{}{mark}{query}", uri.path());
    let mut parts = uri.clone().into_parts();
    // The pair is encoded, so that this can't fail; if it did, nothing of it may be told.
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| ProxyError::Internal)?);
    Uri::from_parts(parts).map_err(|_| ProxyError::Internal)
}
