//! The page for people: one document with its style and its script in it, so that a browser asks for nothing else.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::answer::{self, Body};

const DOCUMENT: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = concat!(include_str!("page/words.js"), include_str!("page/page.js"));
/// Where the two stand in the document.
const STYLE_HERE: &str = "/* style */";
const SCRIPT_HERE: &str = "/* script */";

struct Page {
    document: Bytes,
    policy: HeaderValue,
}

/// Made when it is first asked for.
static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let document = DOCUMENT.replacen(STYLE_HERE, STYLE, 1).replacen(SCRIPT_HERE, SCRIPT, 1);
    // Content Security Policy Level 3: this style and this script by their hashes, its own events and actions, and an
    // icon in the document. No other page may show it in a frame, and its script makes no markup out of text.
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(STYLE),
        hash(SCRIPT)
    );
    Page {
        document: document.into(),
        // It has no other characters than those above and base64's.
        policy: policy.parse().unwrap_or(HeaderValue::from_static("default-src 'none'")),
    }
});

fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest))
}

/// The page.
pub(super) fn answer() -> Response<Body> {
    let mut response = answer::html(PAGE.document.clone());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, PAGE.policy.clone());
    for (name, value) in [
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            header::HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_for_nothing_from_elsewhere() {
        let page = String::from_utf8(PAGE.document.to_vec()).unwrap();
        let (style, script) = (format!("<style>{STYLE}</style>"), format!("<script>{SCRIPT}</script>"));
        assert!(
            page.contains(&style) && page.contains(&script),
            "exactly what was hashed"
        );
        for part in [STYLE, SCRIPT] {
            assert!(!part.contains("</"), "nothing in it ends its element");
        }
        for elsewhere in [
            "http:",
            "https:",
            "//cdn",
            "@import",
            "url(",
            "innerHTML",
            " onclick",
            " style=",
        ] {
            let known = page.replace("http://www.w3.org/2000/svg", "");
            assert!(!known.contains(elsewhere), "{elsewhere}");
        }
    }
}
