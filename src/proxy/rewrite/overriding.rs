//! Header fields that some servers take for another path or method than the request's own.

use http::{HeaderMap, HeaderName};

/// Removes them: what a route's `allow` list has let through is what the request is for.
pub(super) fn strip(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| overrides(name)).cloned() {
        headers.remove(name);
    }
}

/// IIS, Symfony and Zend know the paths; Rails, Express, OData and Google's APIs the methods.
fn overrides(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Most names end here, without a copy.
    matches!(name.len(), 13 | 14 | 17 | 22)
        && matches!(
            &*name.replace('_', "-"),
            "x-original-url" | "x-rewrite-url" | "x-http-method" | "x-http-method-override" | "x-method-override"
        )
}
