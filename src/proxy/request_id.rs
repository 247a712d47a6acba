//! Each request's id: the caller's own, if it is one that can stand in a log line, else a fresh one.
//!
//! tower-http's layers set it and send it back; this decides which of the callers' ids they get to keep.

use http::{HeaderName, Request};
use tower::util::MapRequestLayer;

/// The field that carries it, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are somebody's payload.
const LONGEST: usize = 128;

/// Removes a caller's id that is repeated, too long, or made of more than plain characters.
pub fn keep_sane_ids<B>() -> MapRequestLayer<fn(Request<B>) -> Request<B>> {
    MapRequestLayer::new(|mut request| {
        let mut ids = request.headers().get_all(REQUEST_ID).iter();
        let is_kept = match (ids.next(), ids.next()) {
            (Some(id), None) => is_sane(id.as_bytes()),
            (None, _) => true,
            (Some(_), Some(_)) => false,
        };
        if !is_kept {
            request.headers_mut().remove(REQUEST_ID);
        }
        request
    })
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_forge_a_log_line_are_not_kept() {
        assert!(is_sane(b"4bf92f35-77b3/4da6:a.b_c+d="));
        for odd in [&b""[..], b"a b", b"a\"b", b"a\tb", b"caf\xc3\xa9", &[b'a'; 129]] {
            assert!(!is_sane(odd), "{odd:?}");
        }
    }
}
