//! Parts of requests: paths, forms, and fields that end at each hop.

use bearerd::{
    credential::placement::{rewrite_form, rewrite_query, strip_location},
    proxy::{
        Inbound,
        normalise::{NormaliseLayer, path},
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use percent_encoding::percent_decode;
use proptest::prelude::*;
use tower::{Layer, ServiceExt, service_fn};

use crate::fuzz;

/// As the most lenient server might read a path: decoded as often as it can be, with backslashes for slashes, without
/// parameters, spaces around segments and empty segments, its dots resolved.
fn leniently(path: &str) -> Vec<String> {
    let mut text = path.to_owned();
    loop {
        let once = percent_decode(text.as_bytes()).decode_utf8_lossy().into_owned();
        if once == text {
            break;
        }
        text = once;
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in text.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default().trim() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment.to_owned()),
        }
    }
    segments
}

fn paths() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "/",
        "/",
        ".",
        ".",
        "..",
        "%2e",
        "%2E",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        ";",
        "%3b",
        "%25",
        "%252e",
        "%252f",
        "%255c",
        "%c0%ae",
        "%e2%80%8b",
        "%20",
        "%c2%a0",
        "%00",
        "a",
        "public",
        "private",
        "%70ublic",
        "%",
        "%zz",
        ":",
        "@",
        "\u{e4}",
        "*",
    ]);
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

#[test]
fn a_path_is_refused_or_read_alike_by_everybody() {
    fuzz("path", &paths(), |written| {
        let Ok(normal) = path::normalise(&written) else {
            return Ok(());
        };
        let again = path::normalise(&normal);
        prop_assert_eq!(again.as_ref(), Ok(&normal), "of {}", written);
        prop_assert!(
            normal.starts_with('/') && !normal.contains("//") && normal.is_ascii(),
            "{}",
            normal
        );
        if path::is_plain(&written) {
            prop_assert_eq!(&written, &normal);
        }
        // No server climbs out of a segment: what is listed by its beginning is what is reached.
        let own: Vec<_> = normal.split('/').skip(1).collect();
        for length in 1..=own.len() {
            let beginning = leniently(&format!("/{}", own[..length].join("/")));
            prop_assert!(leniently(&normal).starts_with(&beginning), "{} of {}", normal, written);
        }
        Ok(())
    });
}

/// Names and values of a form or a query, by both habits of separating and by decoded name.
fn pairs(text: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decoded = |text: &[u8]| -> Vec<u8> {
        let spaced: Vec<u8> = text
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        percent_decode(&spaced).collect()
    };
    text.split(|byte| matches!(byte, b'&' | b';'))
        .map(|pair| {
            let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            (
                decoded(&pair[..equals]),
                decoded(pair.get(equals + 1..).unwrap_or_default()),
            )
        })
        .collect()
}

#[test]
fn a_form_has_our_field_once_and_all_others_as_they_were() {
    let piece = prop::sample::select(vec![
        "&",
        "&",
        ";",
        "=",
        "=",
        "api_key",
        "api%5fkey",
        "%61pi_key",
        "api+key",
        "API_KEY",
        "a",
        "b",
        "%26",
        "%3d",
        "+",
        "%",
        "%zz",
        "\u{e9}",
        "api_key[]",
        "?",
        "#",
        "%00",
    ]);
    let text = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    fuzz(
        "form",
        &(text, prop::sample::select(vec!["api_key", "api key", "a"])),
        |(text, name)| {
            let others = |text: &[u8]| -> Vec<_> {
                pairs(text)
                    .into_iter()
                    .filter(|(own, _)| own != name.as_bytes())
                    .collect()
            };
            let ours = |text: &[u8]| {
                pairs(text)
                    .into_iter()
                    .filter(|(own, _)| own == name.as_bytes())
                    .count()
            };
            let pair = format!("{}=ours", name.replace(' ', "%20"));
            let form = rewrite_form(text.as_bytes(), name, &pair);
            prop_assert_eq!(ours(&form), 1);
            prop_assert!(form.ends_with(pair.as_bytes()));
            let nothing = (Vec::new(), Vec::new());
            let mut left = others(&form);
            let mut sent = others(text.as_bytes());
            // What has no name and no value may come and go with a separator.
            left.retain(|pair| *pair != nothing);
            sent.retain(|pair| *pair != nothing);
            prop_assert_eq!(left, sent);
            let query = rewrite_query(Some(&text), name, &pair);
            prop_assert_eq!(query.as_bytes(), &*form);
            let location = format!("https://a.example/b?{text}");
            let location = strip_location(&location, name);
            let (url, _) = location.split_once('#').unwrap_or((&location, ""));
            if let Some((_, query)) = url.split_once('?') {
                prop_assert_eq!(ours(query.as_bytes()), 0, "{}", location);
            }
            Ok(())
        },
    );
}

#[test]
fn what_ends_here_ends_here_and_nothing_else() {
    const HOP_BY_HOP: &[&str] = &[
        "connection",
        "te",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ];
    let name = prop::sample::select(
        [
            HOP_BY_HOP,
            &["x-a", "x-b", "accept", "authorization", "x_a", "trailer", "cookie"],
        ]
        .concat(),
    );
    let value = prop::sample::select(vec![
        "close",
        "x-a",
        "X-A ,x-b",
        "keep-alive, accept",
        "chunked",
        ",,",
        "\"x-a\"",
        "x-a\tx-b",
        "te",
        "trailers",
        "a=b",
    ]);
    let fields = prop::collection::vec((name, value), 0..8);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    fuzz("hop-by-hop", &(fields, any::<bool>()), |(fields, is_http2)| {
        let mut headers = HeaderMap::new();
        for (name, value) in &fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let named: Vec<String> = fields
            .iter()
            .filter(|(name, _)| *name == "connection")
            .flat_map(|(_, value)| value.split(','))
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        let mut request = Request::new(());
        *request.headers_mut() = headers.clone();
        if is_http2 {
            *request.version_mut() = http::Version::HTTP_2;
        }
        let echo = service_fn(|Inbound { head, .. }: Inbound<()>| async move {
            let mut response = Response::new(());
            *response.headers_mut() = head.headers.clone();
            response.extensions_mut().insert(head.headers);
            Ok(response)
        });
        let Ok(answer) = runtime.block_on(NormaliseLayer.layer(echo).oneshot(Inbound::new(request, None))) else {
            return Ok(());
        };
        let Some(passed) = answer.extensions().get::<HeaderMap>() else {
            return Err(TestCaseError::fail("nothing was passed on"));
        };
        for name in passed.keys() {
            let is_te = is_http2 && name == "te" && passed["te"] == "trailers";
            prop_assert!(is_te || !HOP_BY_HOP.contains(&name.as_str()), "{}", name);
            prop_assert!(
                is_te || !named.contains(&name.as_str().to_owned()),
                "{} was named",
                name
            );
        }
        for (name, _) in &fields {
            if !HOP_BY_HOP.contains(name) && !named.contains(&(*name).to_owned()) && *name != "trailer" {
                prop_assert!(passed.contains_key(*name), "{} is gone", name);
            }
        }
        // Of answers too.
        prop_assert!(!answer.headers().keys().any(|name| HOP_BY_HOP.contains(&name.as_str())));
        Ok::<_, TestCaseError>(())
    });
}
