//! Header fields that a caller may not send, and the one that is put in their place.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

/// Removes the caller's `authorization`, always, and every value of the placement's own field.
pub fn strip_headers(headers: &mut HeaderMap, own: Option<&HeaderName>) {
    headers.remove(AUTHORIZATION);
    if let Some(own) = own {
        strip_field(headers, own);
    }
}

/// Removes every value of a field.
///
/// Servers that hand headers on as CGI variables (RFC 3875 §4.1.18) can't tell `x_session` from `x-session`, so
/// both go.
pub fn strip_field(headers: &mut HeaderMap, own: &HeaderName) {
    headers.remove(own);
    if own.as_str().contains(['-', '_']) {
        let alike: Vec<HeaderName> = headers.keys().filter(|name| reads_alike(name, own)).cloned().collect();
        for name in alike {
            headers.remove(name);
        }
    }
}

/// Whether some server can't tell these names apart.
pub fn reads_alike(one: &HeaderName, other: &HeaderName) -> bool {
    let unified = |byte: u8| if byte == b'_' { b'-' } else { byte };
    one.as_str()
        .bytes()
        .map(unified)
        .eq(other.as_str().bytes().map(unified))
}

/// Strips as [`strip_headers`] does and puts the injected value in.
pub fn put_header(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    // `authorization` itself gives way to what is put in its place, and nothing reads alike.
    if name != AUTHORIZATION {
        strip_headers(headers, Some(name));
    }
    headers.insert(name, value.clone());
}
