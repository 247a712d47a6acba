//! Header fields that speak of one connection only (RFC 9110 §7.6.1), and end here.

use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, Entry, TE, TRAILER, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
};

use crate::proxy::{Exchange, Fields, ProxyError};

/// Removes what ends here from a request.
///
/// `TE: trailers` goes on between HTTP/2 and HTTP/2, where it speaks of the whole way (RFC 9113 §8.2.2) and gRPC wants
/// it; `Trailer` goes on with a body that can have trailers, and `Upgrade` as far as the exchange says.
///
/// # Errors
/// A transfer coding besides `chunked`, which is removed here and would not be there.
pub(super) fn strip_request(head: &mut Parts, exchange: &Exchange) -> Result<(), ProxyError> {
    let (fields, is_http2) = (exchange.fields, head.version == Version::HTTP_2);
    let headers = &mut head.headers;
    if is_http2 {
        join_cookies(headers);
    }
    if !fields.has(Fields::CONNECTION | Fields::OTHER_HOP | Fields::TRAILER) {
        return Ok(());
    }
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    if is_chunked
        && !headers
            .get_all(TRANSFER_ENCODING)
            .iter()
            .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err(ProxyError::bad_request(
            "the request's transfer-encoding is not just `chunked`",
        ));
    }
    let has_trailers = is_http2 || is_chunked;
    let takes_trailers = is_http2 && headers.get_all(TE).iter().any(|value| names(value, "trailers"));
    strip_found(headers, fields);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if !has_trailers {
        headers.remove(TRAILER);
    }
    if let Some(protocols) = exchange.upgrade() {
        headers.insert(UPGRADE, protocols.clone());
    }
    Ok(())
}

/// HTTP/2 sends cookies one by one, and HTTP/1.1 all at once (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    // Each has stood in a field, so that all of them can.
    if let Ok(mut all) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        all.set_sensitive(true);
        headers.insert(COOKIE, all);
    }
}

/// Removes what ends at each hop from an answer, but for what it switches to.
pub(super) fn strip_response<B>(response: &mut Response<B>) {
    let is_switch = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let protocol = if is_switch { headers.remove(UPGRADE) } else { None };
    strip(headers);
    if let Some(protocol) = protocol {
        headers.insert(UPGRADE, protocol);
    }
}

/// Removes what ends at each hop, and every field that `Connection` names.
pub(in crate::proxy) fn strip(headers: &mut HeaderMap) {
    strip_found(headers, Fields::of(headers));
}

/// The same, where it is known which fields there are.
fn strip_found(headers: &mut HeaderMap, fields: Fields) {
    // Beside a transfer coding a length says nothing, and may not go on (RFC 9112 §6.3).
    if fields.has(Fields::OTHER_HOP) && headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    if fields.has(Fields::CONNECTION)
        && let Entry::Occupied(connection) = headers.entry(CONNECTION)
    {
        let only_says_how_long = |value: &HeaderValue| matches!(value.as_bytes(), b"keep-alive" | b"close");
        let named: Vec<HeaderName> = match connection.iter().all(only_says_how_long) {
            true => Vec::new(),
            false => connection
                .iter()
                .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
                .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
                .collect(),
        };
        connection.remove();
        for name in named {
            headers.remove(name);
        }
    }
    if !fields.has(Fields::OTHER_HOP) {
        return;
    }
    while let Some(name) = headers.keys().find(|name| Fields::named(name).has(Fields::OTHER_HOP)) {
        let name = name.clone();
        headers.remove(name);
    }
}

/// Whether a list has this word.
pub(in crate::proxy) fn names(value: &HeaderValue, wanted: &str) -> bool {
    value
        .as_bytes()
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Inbound;
    use http::Request;

    /// What is left of these fields, sorted.
    fn left(version: Version, fields: &[(&'static str, &'static str)]) -> Result<Vec<(String, String)>, ProxyError> {
        let mut request = Request::builder().version(version).body(()).unwrap();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            request.headers_mut().append(name, HeaderValue::from_static(value));
        }
        let mut inbound = Inbound::new(request, None);
        strip_request(&mut inbound.head, &inbound.exchange)?;
        let fields = inbound.head.headers.iter();
        let mut left: Vec<_> = fields
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        left.sort_unstable();
        Ok(left)
    }

    fn owned(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn what_connection_names_goes_with_it() {
        let fields = [
            ("connection", "close, X-Private ,Authorization"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("authorization", "Bearer caller"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "websocket"),
            ("te", "gzip, Trailers"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ];
        assert_eq!(left(Version::HTTP_11, &fields).unwrap(), owned(&[("accept", "*/*")]));
    }

    #[test]
    fn what_speaks_of_trailers_goes_on_where_there_can_be_some() {
        let chunked = [
            ("transfer-encoding", "Chunked"),
            ("trailer", "x-sum"),
            ("te", "trailers"),
        ];
        assert_eq!(
            left(Version::HTTP_11, &chunked).unwrap(),
            owned(&[("trailer", "x-sum")])
        );
        let grpc = [("te", "trailers"), ("trailer", "x-sum")];
        let both = owned(&[("te", "trailers"), ("trailer", "x-sum")]);
        assert_eq!(left(Version::HTTP_2, &grpc).unwrap(), both);
    }

    #[test]
    fn cookies_that_came_one_by_one_go_on_as_one() {
        let crumbs = [("cookie", "a=b"), ("cookie", "c=d; e=f"), ("cookie", "g")];
        assert_eq!(
            left(Version::HTTP_2, &crumbs).unwrap(),
            owned(&[("cookie", "a=b; c=d; e=f; g")])
        );
    }

    #[test]
    fn what_reads_like_framing_ends_here() {
        let fields = [("transfer_encoding", "chunked"), ("content_length", "5"), ("x_a", "1")];
        assert_eq!(left(Version::HTTP_11, &fields).unwrap(), owned(&[("x_a", "1")]));
    }

    #[test]
    fn another_transfer_coding_is_refused() {
        assert!(left(Version::HTTP_11, &[("transfer-encoding", "gzip, chunked")]).is_err());
    }
}
