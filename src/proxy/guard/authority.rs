//! Whom a request names: its Host, or the authority of its absolute form.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderValue, Uri, Version, header::HOST, uri::Authority};

use crate::proxy::ProxyError;

/// An authority, and its host in the form that hosts are compared in.
pub(super) type Named = (Authority, Arc<str>);

/// The effective authority (RFC 9112 §3.2, RFC 9113 §8.3.1). Where two parts of a request name one, they agree.
///
/// `last` is what the Host field of the last request was read as: those of one connection are mostly alike.
pub(super) fn effective(
    uri: &Uri,
    headers: &HeaderMap,
    version: Version,
    last: &mut Option<Named>,
) -> Result<Option<Named>, ProxyError> {
    let named = match headers.get(HOST) {
        // A repeated field counts twice, but has one key.
        Some(_) if headers.len() != headers.keys_len() && headers.get_all(HOST).iter().nth(1).is_some() => {
            return Err(ProxyError::bad_request("the request has several Host fields; send one"));
        }
        Some(field) => Some(read(field, last)?),
        None => None,
    };
    match (uri.authority(), named) {
        (Some(target), _) if target.as_str().contains('@') => Err(ProxyError::bad_request(
            "the request's target holds a user or password; send the credential's name to nobody, and the path only",
        )),
        (Some(target), _) if !has_a_port_or_none(target) => Err(ProxyError::bad_request(
            "the port in the request's target is no number of 16 bits",
        )),
        (Some(_), _) if !matches!(uri.scheme_str(), None | Some("http" | "https")) => Err(ProxyError::bad_request(
            "the request's target has a scheme that is neither http nor https; send the path only",
        )),
        (Some(target), Some((field, _))) if !same(target, &field, uri.scheme_str().unwrap_or("http")) => {
            Err(ProxyError::bad_request(
                "the request's target and its Host field name different hosts; send one of them, or the same twice",
            ))
        }
        (Some(target), _) => Ok(Some((target.clone(), host(target).into()))),
        (None, Some(named)) => Ok(Some(named)),
        (None, None) if version <= Version::HTTP_10 => Ok(None),
        (None, None) => Err(ProxyError::bad_request(
            "the request has no Host field, which HTTP/1.1 asks for",
        )),
    }
}

fn read(field: &HeaderValue, last: &mut Option<Named>) -> Result<Named, ProxyError> {
    if let Some(last) = last
        && last.0.as_str().as_bytes() == field.as_bytes()
    {
        return Ok(last.clone());
    }
    let read = Authority::try_from(field.as_bytes())
        .ok()
        .filter(|authority| !authority.as_str().contains('@') && !authority.host().is_empty())
        .filter(has_a_port_or_none)
        .ok_or(ProxyError::BadRequest(
            "the Host field is not a host, or a host and a port".into(),
        ))?;
    let host = host(&read).into();
    Ok(last.insert((read, host)).clone())
}

/// Whether what stands behind the host is a port, or nothing: the URI's parser takes any text for one.
fn has_a_port_or_none(authority: &Authority) -> bool {
    match authority
        .as_str()
        .rsplit_once('@')
        .map_or(authority.as_str(), |(_, place)| place)[authority.host().len()..]
        .strip_prefix(':')
    {
        // It may be empty (RFC 3986 §3.2.3).
        Some(port) => {
            port.is_empty() || (port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok())
        }
        None => true,
    }
}

/// Whether two authorities are the same place.
pub(super) fn same(one: &Authority, other: &Authority, scheme: &str) -> bool {
    place(one, scheme) == place(other, scheme)
}

/// The place that an authority names: host and port.
pub(super) fn place<'a>(authority: &'a Authority, scheme: &str) -> (Cow<'a, str>, u16) {
    let own_port = if scheme == "https" { 443 } else { 80 };
    (host(authority), authority.port_u16().unwrap_or(own_port))
}

/// The host of an authority, in the form that hosts are compared in.
pub(super) fn host(authority: &Authority) -> Cow<'_, str> {
    plain(authority.host())
}

/// In lower case, without the brackets of an IPv6 address and the final dot of a full name.
pub(super) fn plain(host: &str) -> Cow<'_, str> {
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}
