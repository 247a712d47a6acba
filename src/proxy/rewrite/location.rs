//! An upstream's Location, as the caller can follow it.

use std::borrow::Cow;

use http::uri::Authority;

use crate::{config::checked::BaseUrl, credential::placement::strip_location, proxy::guard::is_same_place};

/// What a Location is translated between.
#[derive(Debug)]
pub(super) struct Terms<'t> {
    /// The upstream.
    pub base: &'t BaseUrl,
    /// What was taken off the caller's path.
    pub prefix: &'t str,
    /// How the caller addressed us; `None` if it didn't say.
    pub origin: Option<(&'static str, &'t Authority)>,
    /// The parameter that holds our credential.
    pub parameter: Option<&'t str>,
}

impl Terms<'_> {
    /// The Location for the caller: without our credential, and back here if it points at what we serve.
    pub(super) fn localise(&self, location: &str) -> String {
        let location = self.without_credential(location);
        let Some((authority, rest)) = self.split(&location) else {
            // Relative to the caller's own path, which has the upstream's shape; or somewhere else.
            return location.into_owned();
        };
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (path, tail) = rest.split_at(end);
        let left = path
            .strip_prefix(self.base.path.as_str())
            .filter(|left| left.is_empty() || left.starts_with('/'));
        match left {
            Some(left) => {
                let origin = match (authority, self.origin) {
                    (Some(_), Some((scheme, own))) => format!("{scheme}://{own}"),
                    _ => String::new(),
                };
                let slash = if self.prefix.is_empty() && left.is_empty() {
                    "/"
                } else {
                    ""
                };
                format!("{origin}{}{left}{slash}{tail}", self.prefix)
            }
            // Outside what this route serves: on its own it would be read as a path of ours.
            None if authority.is_none() => format!("{}://{}{rest}", self.base.scheme, self.base.authority),
            None => location.into_owned(),
        }
    }

    /// The same place, should it repeat the query that it was asked with.
    pub(super) fn without_credential<'l>(&self, location: &'l str) -> Cow<'l, str> {
        match self.parameter {
            Some(name) => strip_location(location, name),
            None => Cow::Borrowed(location),
        }
    }

    /// The authority, if it is written out, and the rest of a Location that points at the upstream's origin.
    fn split<'l>(&self, location: &'l str) -> Option<(Option<Authority>, &'l str)> {
        let after = |scheme: &str| {
            location
                .get(..scheme.len())
                .filter(|start| start.eq_ignore_ascii_case(scheme))
                .map(|_| &location[scheme.len()..])
        };
        let scheme = self.base.scheme.as_str();
        let Some(from_authority) = after(&format!("{scheme}://")).or_else(|| after("//")) else {
            return location.starts_with('/').then_some((None, location));
        };
        let end = from_authority.find(['/', '?', '#']).unwrap_or(from_authority.len());
        let (authority, rest) = from_authority.split_at(end);
        let authority = authority.parse::<Authority>().ok()?;
        is_same_place(&authority, &self.base.authority, scheme).then_some((Some(authority), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn localise(location: &str, prefix: &str, base: &str) -> String {
        let base = BaseUrl {
            scheme: "https".parse().unwrap(),
            authority: "api.example".parse().unwrap(),
            path: base.into(),
        };
        let own = "localhost:8080".parse().unwrap();
        let terms = Terms {
            base: &base,
            prefix,
            origin: Some(("http", &own)),
            parameter: Some("api_key"),
        };
        terms.localise(location)
    }

    #[test]
    fn what_we_serve_comes_back_here() {
        for (location, local) in [
            ("https://api.example/v2/a?x=1#y", "http://localhost:8080/p/a?x=1#y"),
            ("HTTPS://API.example:443/v2/a", "http://localhost:8080/p/a"),
            ("//api.example/v2", "http://localhost:8080/p"),
            ("/v2/a", "/p/a"),
            ("a/b?c", "a/b?c"),
        ] {
            assert_eq!(localise(location, "/p", "/v2"), local, "{location}");
        }
        assert_eq!(localise("https://api.example", "", ""), "http://localhost:8080/");
    }

    #[test]
    fn what_we_do_not_serve_stays_elsewhere() {
        for (location, local) in [
            ("https://idp.example/v2/a", "https://idp.example/v2/a"),
            ("http://api.example/v2/a", "http://api.example/v2/a"),
            ("https://api.example:8443/v2/a", "https://api.example:8443/v2/a"),
            ("https://api.example/v20/a", "https://api.example/v20/a"),
            ("/login", "https://api.example/login"),
        ] {
            assert_eq!(localise(location, "/p", "/v2"), local, "{location}");
        }
    }

    #[test]
    fn law_8_our_parameter_never_comes_back_however_it_is_written() {
        for (location, local) in [
            ("/v2/a?api_key=s&x=1", "/p/a?x=1"),
            ("/v2/a?api%5Fkey=s#f", "/p/a#f"),
            ("https://idp.example/?x=1&api_key=s", "https://idp.example/?x=1"),
            ("b?api_key=s", "b"),
        ] {
            assert_eq!(localise(location, "/p", "/v2"), local, "{location}");
        }
    }
}
