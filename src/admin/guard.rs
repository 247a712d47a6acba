//! Who may use the admin listener: programs of this machine, never another page in a browser.
//!
//! The Host rule defeats DNS rebinding; the browser's own marks (Fetch Metadata, RFC 6454's Origin) and the content
//! type of a POST defeat requests forged by other pages. Other processes of this machine are not kept out on TCP;
//! a Unix socket's mode does that.

use std::net::IpAddr;

use http::{HeaderMap, Method, Request, StatusCode, Version, header, uri::Authority};

use super::answer::Problem;

/// Lets a request through that came to this address, where that is known; or says why not.
pub(super) fn check<B>(request: &Request<B>, local: Option<IpAddr>) -> Result<(), Problem> {
    let authority = authority(request)?;
    if let Some(authority) = &authority
        && !is_here(authority.host(), local)
    {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            "the admin listener is called by localhost or its own address only",
        ));
    }
    if is_from_another_page(request.headers(), authority.as_ref()) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "browser_refused",
            "a browser sent this for another page",
        ));
    }
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !only_reads && !is_json(request.headers()) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "bad_request",
            "actions take a body of content-type application/json",
        ));
    }
    Ok(())
}

/// The authority that the request names, if it must name one: the absolute form's or the Host field's, which have
/// to agree (RFC 9110 §7.2, RFC 9112 §3.2).
fn authority<B>(request: &Request<B>) -> Result<Option<Authority>, Problem> {
    let mut fields = request.headers().get_all(header::HOST).iter();
    let field = match (fields.next(), fields.next()) {
        (_, Some(_)) => return Err(Problem::bad_request("the request has several Host fields")),
        (Some(field), None) => match field.to_str().map(str::parse::<Authority>) {
            Ok(Ok(authority)) => Some(authority),
            Ok(Err(_)) | Err(_) => return Err(Problem::bad_request("the Host field is not a host and port")),
        },
        (None, None) => None,
    };
    match (request.uri().authority().cloned(), field) {
        (Some(target), Some(field)) if target != field => {
            Err(Problem::bad_request("the target and the Host field differ"))
        }
        (Some(one), _) | (None, Some(one)) => Ok(Some(one)),
        (None, None) if request.version() < Version::HTTP_11 => Ok(None),
        (None, None) => Err(Problem::bad_request("the request has no Host field")),
    }
}

fn is_here(host: &str, local: Option<IpAddr>) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.is_loopback() || local == Some(ip),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn is_from_another_page(headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    let site = headers.get_all("sec-fetch-site").iter();
    let other_site = site.into_iter().any(|site| site != "same-origin" && site != "none");
    let own = authority.map(|authority| format!("http://{authority}"));
    let other_origin = headers.get_all(header::ORIGIN).iter().any(|origin| {
        own.as_ref()
            .is_none_or(|own| !origin.as_bytes().eq_ignore_ascii_case(own.as_bytes()))
    });
    other_site || other_origin
}

/// A page of another origin can post forms and plain text without asking first, but never this type (CORS).
fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
