//! What an upstream is told of the way that a request has come.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{FORWARDED, VIA},
};

use crate::{
    config::{checked::Told, raw::Forwarded},
    proxy::{Address, Exchange},
};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who we are in `Via`: a pseudonym (RFC 9110 §7.6.3), for the host's name is nobody's business.
const NAME: &str = "bearerd";

/// Says so much of where a request comes from, and by which version of HTTP.
pub(super) fn tell(headers: &mut HeaderMap, told: Told, version: Version, exchange: &Exchange) {
    match told.forwarded {
        Forwarded::Keep => {}
        Forwarded::Drop => {
            while let Some(name) = headers.keys().find(|name| tells_of_hops(name)).cloned() {
                headers.remove(name);
            }
        }
        Forwarded::Add => add(headers, exchange),
    }
    if told.via {
        let version = match version {
            Version::HTTP_2 => "2.0",
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        };
        append(headers, &VIA, &format!("{version} {NAME}"));
    }
}

/// Whether a field is one of these, also to servers that can't tell `_` from `-`.
fn tells_of_hops(name: &HeaderName) -> bool {
    let begins = |wanted: &[u8]| {
        let name = name.as_str().as_bytes();
        let alike = |(own, wanted): (&u8, &u8)| own == wanted || (*wanted == b'-' && *own == b'_');
        name.len() >= wanted.len() && name.iter().zip(wanted).all(alike)
    };
    match name.as_str().as_bytes()[0] {
        b'f' => name == FORWARDED,
        b'x' => begins(b"x-forwarded-") || (name.as_str().len() == 9 && begins(b"x-real-ip")),
        _ => false,
    }
}

/// As a list that ends with this hop; scheme and host are what this hop was asked for.
fn add(headers: &mut HeaderMap, exchange: &Exchange) {
    let Some(caller) = exchange.caller() else { return };
    let peer = match exchange.connection.as_ref().map(|connection| connection.peer) {
        Some(Address::Tcp(peer)) => Some(peer.ip().to_canonical()),
        Some(Address::Unix) | None => None,
    };
    let mut element = match peer {
        // RFC 7239 §6: an IPv6 address has brackets, and those need quotes.
        Some(peer) if peer.is_ipv6() => format!("for=\"[{peer}]\""),
        Some(peer) => format!("for={peer}"),
        None => "for=unknown".into(),
    };
    if let Some(peer) = peer {
        append(headers, &FOR, &peer.to_string());
    }
    if let Some(authority) = &caller.authority {
        element.push_str(&format!(";host=\"{authority}\""));
        if let Ok(authority) = HeaderValue::from_str(authority.as_str()) {
            headers.insert(HOST, authority);
        }
    }
    headers.insert(PROTO, HeaderValue::from_static(caller.scheme));
    element.push_str(&format!(";proto={}", caller.scheme));
    append(headers, &FORWARDED, &element);
}

/// One more item of a list; what came in several fields becomes one.
fn append(headers: &mut HeaderMap, name: &HeaderName, item: &str) {
    let own = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let list = own.chain([item.as_bytes()]).collect::<Vec<_>>().join(&b", "[..]);
    // Each item has stood in a field, so that all of them can.
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(name, list);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    use crate::proxy::{Connection, Inbound, guard::Caller};

    fn told(forwarded: Forwarded, via: bool, peer: Option<&str>, sent: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let connection = Connection {
            local: Address::Unix,
            peer: peer.map_or(Address::Unix, |peer| Address::Tcp(peer.parse().unwrap())),
            tls: false,
            proof: Default::default(),
        };
        let inbound = Inbound::new(Request::new(()), Some(connection.into()));
        inbound.exchange.found_caller(Caller {
            scheme: "http",
            authority: Some("localhost:8080".parse().unwrap()),
            host: Some("localhost".into()),
            name: None,
        });
        let told = Told { forwarded, via };
        tell(&mut headers, told, Version::HTTP_2, &inbound.exchange);
        let mut lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines
    }

    const SENT: &[(&str, &str)] = &[
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-host", "erp.intern"),
        ("x_forwarded_proto", "https"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded", "1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("via", "1.1 lb"),
    ];

    #[test]
    fn nothing_is_told_unless_it_is_asked_for() {
        let left = [
            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "via: 1.1 lb",
            "x-forwarded: 1",
        ];
        assert_eq!(told(Forwarded::Drop, false, Some("10.0.0.9:1"), SENT), left);
        assert_eq!(told(Forwarded::Keep, false, Some("10.0.0.9:1"), SENT).len(), SENT.len());
    }

    #[test]
    fn this_hop_is_added_to_what_was_there() {
        let lines = told(Forwarded::Add, true, Some("10.0.0.9:1"), SENT);
        for line in [
            "forwarded: for=10.0.0.1, for=10.0.0.9;host=\"localhost:8080\";proto=http",
            "via: 1.1 lb, 2.0 bearerd",
            "x-forwarded-for: 10.0.0.1, 10.0.0.2, 10.0.0.9",
            "x-forwarded-host: localhost:8080",
            "x-forwarded-proto: http",
        ] {
            assert!(lines.iter().any(|own| own == line), "{line} in {lines:?}");
        }
        let lines = told(Forwarded::Add, false, Some("[2001:db8::1]:1"), &[]);
        assert!(lines[0].starts_with("forwarded: for=\"[2001:db8::1]\";"), "{lines:?}");
        let lines = told(Forwarded::Add, false, None, &[]);
        assert!(lines[0].starts_with("forwarded: for=unknown;"), "{lines:?}");
        assert!(
            !lines.iter().any(|line| line.starts_with("x-forwarded-for")),
            "{lines:?}"
        );
    }
}
