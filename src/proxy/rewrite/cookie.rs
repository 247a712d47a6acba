//! An upstream's cookies, as the caller's cookie jar takes them (RFC 6265 §4.1.2).

use super::location::Terms;

impl Terms<'_> {
    /// The cookie for the caller: of this host, under the path that the caller knows it by, and without what a jar
    /// keeps for TLS where the caller came without.
    pub(super) fn localise_cookie(&self, cookie: &str) -> String {
        let is_plain = self.origin.is_none_or(|(scheme, _)| scheme == "http");
        let mut parts = cookie.split(';');
        let mut localised = parts.next().unwrap_or_default().to_owned();
        for attribute in parts {
            let (name, value) = match attribute.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim()),
                None => (attribute.trim(), ""),
            };
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            // Only the upstream's own host can be named, and nobody here is called that.
            let speaks_of_the_upstream = is("domain");
            // A jar takes the latter two with the first only.
            let needs_tls = is("secure") || is("partitioned") || (is("samesite") && value.eq_ignore_ascii_case("none"));
            if speaks_of_the_upstream || (needs_tls && is_plain) {
                continue;
            }
            localised.push(';');
            if is("path") {
                localised.push_str(" Path=");
                localised.push_str(&self.cookie_path(value));
            } else {
                localised.push_str(attribute);
            }
        }
        localised
    }

    fn cookie_path(&self, path: &str) -> String {
        let base = self.base.path.as_str();
        let left = match below(path, base) {
            Some(left) => left,
            // It covers more than what is served here.
            None if below(base, path.trim_end_matches('/')).is_some() => "",
            None => return path.to_owned(),
        };
        match (self.prefix, left) {
            ("", "" | "/") => "/".to_owned(),
            (prefix, "/") => prefix.to_owned(),
            (prefix, left) => format!("{prefix}{left}"),
        }
    }
}

/// What is left of a path below another one, on segment bounds.
fn below<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    path.strip_prefix(base)
        .filter(|left| left.is_empty() || left.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::checked::BaseUrl;
    use http::uri::{Authority, Scheme};

    fn localised(base: &str, prefix: &str, scheme: &'static str, cookie: &str) -> String {
        let base = BaseUrl {
            scheme: Scheme::HTTPS,
            authority: "api.example".parse().unwrap(),
            path: base.into(),
        };
        let own: Authority = "localhost:8080".parse().unwrap();
        let terms = Terms {
            base: &base,
            prefix,
            origin: Some((scheme, &own)),
            parameter: None,
        };
        terms.localise_cookie(cookie)
    }

    #[test]
    fn a_cookie_is_of_this_host_and_of_this_scheme() {
        let cookie = "s=a=b; Domain=.api.example; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=60";
        assert_eq!(localised("", "", "http", cookie), "s=a=b; HttpOnly; Max-Age=60");
        let kept = "s=a=b; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=60";
        assert_eq!(localised("", "", "https", cookie), kept);
        assert_eq!(localised("", "", "http", "s=1;SameSite=Lax"), "s=1;SameSite=Lax");
        assert_eq!(localised("", "", "http", "s"), "s");
    }

    #[test]
    fn a_cookies_path_is_the_callers() {
        for (base, prefix, path, own) in [
            ("", "", "/", "/"),
            ("", "", "/a", "/a"),
            ("", "/api", "/", "/api"),
            ("", "/api", "/a", "/api/a"),
            ("/v2", "/api", "/", "/api"),
            ("/v2", "/api", "/v2", "/api"),
            ("/v2", "/api", "/v2/", "/api"),
            ("/v2", "/api", "/v2/a/", "/api/a/"),
            ("/v2", "", "/v2", "/"),
            ("/v2", "", "/", "/"),
            ("/v2/x", "/api", "/v2", "/api"),
            ("/v2", "/api", "/v21", "/v21"),
        ] {
            let cookie = localised(base, prefix, "http", &format!("s=1; path={path}"));
            assert_eq!(cookie, format!("s=1; Path={own}"), "{path} of {base}, seen at {prefix}");
        }
    }
}
