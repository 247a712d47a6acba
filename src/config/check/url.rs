//! URLs: of upstreams and of requests.

use http::{Uri, uri::Scheme};
use secrecy::ExposeSecret;

use super::Check;
use crate::{
    config::{checked::BaseUrl, node::KeyPath},
    template::{Part, Scope, Template},
};

/// What stands for a value that is known per request only.
const STAND_IN: &str = "x";

impl Check<'_> {
    /// The URL of a request. What is known per request must not reach its scheme or authority.
    pub(super) fn request_url(&self, url: &Template, at: &KeyPath, insecure: bool) -> bool {
        if self.blind {
            return true;
        }
        if let Some((scope, name)) = reference_in_origin(url) {
            self.fault(
                at,
                format!(
                    "`${{{}:{name}}}` stands in the scheme or the host of a URL, where no request may reach",
                    scope.as_str()
                ),
                Some("use it after the host only".into()),
            );
            return false;
        }
        self.uri(url, at, insecure).is_some()
    }

    /// The base URL of an upstream.
    pub(super) fn base_url(&self, url: &Template, at: &KeyPath, insecure: bool) -> Option<BaseUrl> {
        let uri = self.uri(url, at, insecure)?;
        if uri.query().is_some() {
            self.fault(
                at,
                "a base URL has no query".into(),
                Some("put parameters into the requests".into()),
            );
            return None;
        }
        let path = uri.path().trim_end_matches('/');
        if path
            .split('/')
            .skip(1)
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            self.fault(at, "a base URL's path has no empty segment, `.` or `..`".into(), None);
            return None;
        }
        let scheme = uri.scheme()?.clone();
        let authority = uri.authority()?;
        let default_port = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let authority = match authority.port_u16() {
            // The Host header has no port where it is the scheme's own (RFC 9110 §7.2, RFC 3986 §3.2.3).
            Some(port) if port == default_port => authority.host().to_lowercase().parse().ok()?,
            _ => authority.as_str().to_lowercase().parse().ok()?,
        };
        Some(BaseUrl {
            scheme,
            authority,
            path: path.to_owned(),
        })
    }

    /// A URL of an origin and perhaps a path; plain http is for this host, or `insecure`.
    pub(in crate::config) fn uri(&self, url: &Template, at: &KeyPath, insecure: bool) -> Option<Uri> {
        let text = url.render_url(&|_: Scope, _: &str| Some(STAND_IN.to_owned())).ok()?;
        let text = text.expose_secret();
        let fault = |message: &str, hint: &str| {
            self.fault(at, message.to_owned(), Some(hint.to_owned()));
            None
        };
        if text.contains('#') {
            return fault("a URL here has no fragment", "remove what begins with `#`");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return fault(
                "this is no URL",
                "it is to be `https://HOST/PATH`, percent-encoded where needed",
            );
        };
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else {
            return fault("this URL has no scheme or no host", "it is to be `https://HOST/PATH`");
        };
        if *scheme != Scheme::HTTPS && *scheme != Scheme::HTTP {
            return fault(
                "this URL's scheme is neither https nor http",
                "it is to be `https://HOST/PATH`",
            );
        }
        let after_host = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if authority.as_str().contains('@') || authority.host().is_empty() || authority.host().contains('%') {
            return fault(
                "this URL's host is not a host's name or address alone",
                "user and password belong into `basic`, not into the URL",
            );
        }
        if !after_host.is_empty() && authority.port_u16().is_none() {
            return fault(
                "this URL's port is no port",
                "leave the colon away, or give a number up to 65535",
            );
        }
        if *scheme == Scheme::HTTP && !insecure && !is_loopback(authority.host()) {
            let is_parameter = at.keys().any(|key| key == "params");
            return fault(
                "this URL is plain http and not of this host, so the credential would be sent in the clear",
                match is_parameter {
                    true => "use https, or say `insecure: true` on the credential and on its upstream",
                    false => "use https, or say `insecure: true`",
                },
            );
        }
        Some(uri)
    }
}

/// A reference before the end of a URL's authority.
fn reference_in_origin(url: &Template) -> Option<(Scope, &str)> {
    let mut text = String::new();
    for part in url.parts() {
        let ended = match text.split_once("://") {
            Some((_, rest)) => rest.contains(['/', '?', '#']),
            None => false,
        };
        if ended {
            return None;
        }
        match part {
            Part::Written(written) => text.push_str(written),
            // A value is percent-encoded where it is sent, so it ends no authority.
            Part::Value(_) => {}
            Part::Reference(scope, name) => return Some((*scope, name)),
        }
    }
    None
}

/// Whether a URL's host is this host.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(&host);
    // Not names under it: resolvers differ over those.
    bare == "localhost"
        || bare
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_host_and_nothing_that_looks_like_it() {
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "api.localhost",
            "localhost.example",
            "10.0.0.1",
            "127.0.0.1.example",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn a_reference_may_stand_after_the_host_only() {
        let reference = || Part::Reference(Scope::Subject, "t".into());
        let written = |text: &str| Part::Written(text.into());
        for (parts, faulty) in [
            (vec![reference()], true),
            (vec![written("https://"), reference(), written(".example/")], true),
            (vec![written("https://a.example"), reference()], true),
            (vec![written("https://a.example:"), reference(), written("/")], true),
            (vec![written("https://a.example/"), reference()], false),
            (vec![written("https://a.example?x="), reference()], false),
        ] {
            assert_eq!(reference_in_origin(&Template::new(parts.clone())).is_some(), faulty);
        }
    }
}
