//! A route's `allow` list, held against what is forwarded.

use http::Method;

use super::as_asked;
use crate::{
    config::checked::{Allow, AllowSegment},
    proxy::normalise::path::decode,
};

/// Whether the list has this method and path; an empty list has everything.
pub(super) fn allows(list: &[Allow], method: &Method, rest: &str) -> bool {
    let takes = |wanted: &Method| wanted == method || wanted == as_asked(method);
    list.is_empty()
        || list
            .iter()
            .any(|allow| allow.method.as_ref().is_none_or(takes) && matches(&allow.segments, rest))
}

fn matches(pattern: &[AllowSegment], rest: &str) -> bool {
    let mut segments = rest.split('/').skip(1);
    for wanted in pattern {
        match wanted {
            AllowSegment::Rest => return true,
            AllowSegment::Any => {
                if segments.next().is_none_or(str::is_empty) {
                    return false;
                }
            }
            AllowSegment::Literal(text) => {
                if segments.next().and_then(decode).as_deref() != Some(text) {
                    return false;
                }
            }
        }
    }
    // The root is written `/`, whether or not the request had that slash.
    segments.next().is_none() || (pattern.is_empty() && rest == "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(method: Option<Method>, segments: &[AllowSegment]) -> Vec<Allow> {
        vec![Allow {
            method,
            segments: segments.to_vec(),
        }]
    }

    fn literal(text: &str) -> AllowSegment {
        AllowSegment::Literal(text.into())
    }

    #[test]
    fn segments_match_whole() {
        let list = allow(Some(Method::GET), &[literal("api"), AllowSegment::Rest]);
        assert!(allows(&list, &Method::GET, "/api"));
        assert!(allows(&list, &Method::GET, "/api/"));
        assert!(allows(&list, &Method::GET, "/api/a/b"));
        assert!(!allows(&list, &Method::GET, "/apis"));
        assert!(!allows(&list, &Method::GET, "/"));
        assert!(!allows(&list, &Method::POST, "/api"));
    }

    #[test]
    fn who_may_get_may_ask_for_the_head_of_that() {
        let list = |method| allow(Some(method), &[AllowSegment::Rest]);
        assert!(allows(&list(Method::GET), &Method::HEAD, "/api"));
        assert!(allows(&list(Method::HEAD), &Method::HEAD, "/api"));
        assert!(!allows(&list(Method::HEAD), &Method::GET, "/api"));
        assert!(!allows(&list(Method::POST), &Method::HEAD, "/api"));
    }

    #[test]
    fn a_star_is_one_segment_that_is_there() {
        let list = allow(None, &[literal("a b"), AllowSegment::Any]);
        assert!(allows(&list, &Method::PUT, "/a%20b/x"));
        assert!(!allows(&list, &Method::PUT, "/a%20b/"));
        assert!(!allows(&list, &Method::PUT, "/a%20b"));
        assert!(!allows(&list, &Method::PUT, "/a%20b/x/y"));
    }

    #[test]
    fn an_empty_pattern_is_the_root_and_an_empty_list_is_everything() {
        let list = allow(None, &[]);
        assert!(allows(&list, &Method::GET, "") && allows(&list, &Method::GET, "/"));
        assert!(!allows(&list, &Method::GET, "/a"));
        assert!(allows(&[], &Method::GET, "/a"));
    }
}
