//! Urlencoded bodies, which a form placement holds whole and rewrites.

use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use http_body::Body as _;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};

use crate::{
    proxy::ProxyError,
    upstream::{Body, BoxError},
};

/// The largest form that is held, in bytes.
pub(super) const LIMIT: usize = 1024 * 1024;

/// Fields that vouch for the very bytes of a body (RFC 9530, RFC 3230, RFC 1864).
const DIGESTS: [HeaderName; 3] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Whether the credential goes into the body of this request, rather than into its query.
pub(super) fn takes(method: &Method, headers: &HeaderMap, body: &Body) -> Result<bool, ProxyError> {
    // A body that is a form by any of its types may be read as one.
    let is_form = headers.get_all(CONTENT_TYPE).iter().any(is_form);
    let has_query = matches!(*method, Method::GET | Method::HEAD);
    if is_form && has_query && !body.is_end_stream() {
        // It could hold the caller's own copy of the field, beside ours in the query.
        return Err(ProxyError::bad_request(format!(
            "the credential goes into the query of a {method}, and this one has a form for a body; send it without",
        )));
    }
    Ok(is_form && !has_query)
}

fn is_form(media_type: &HeaderValue) -> bool {
    media_type
        .to_str()
        .ok()
        .and_then(|value| value.split(';').next())
        .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// The whole form.
pub(super) async fn hold(headers: &HeaderMap, body: Body) -> Result<Bytes, ProxyError> {
    if headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        return Err(ProxyError::bad_request(
            "the credential goes into a field of this form, and the form has several types (content-type); send one",
        ));
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(ProxyError::bad_request(
            "the credential goes into a field of this form, and the form is encoded (content-encoding); send it plain",
        ));
    }
    if let Some(digest) = DIGESTS.iter().find(|digest| headers.contains_key(*digest)) {
        return Err(ProxyError::bad_request(format!(
            "the credential goes into a field of this form, which would break its digest ({digest}); send it without",
        )));
    }
    if body.size_hint().lower() > LIMIT as u64 {
        return Err(ProxyError::BodyTooLarge { limit: LIMIT });
    }
    match collect(body).await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ProxyError::BodyTooLarge { limit: LIMIT }),
        Err(_) => Err(ProxyError::bad_request("the request's body broke off; send it again")),
    }
}

/// Named, because the compiler can't see that a future of `Limited`'s is `Send` inside another one.
fn collect(body: Body) -> Pin<Box<dyn Future<Output = Result<Collected<Bytes>, BoxError>> + Send>> {
    Box::pin(Limited::new(body, LIMIT).collect())
}
