//! Routes, each by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use http::{HeaderName, Method};
use percent_encoding::percent_decode_str;

use super::{Check, entries, names, upstream::NO_CREDENTIAL};
use crate::{
    config::{
        checked::{Allow, AllowSegment, Credential, Route, Upstream},
        fault::suggestion,
        node::KeyPath,
        raw::{self, Field, Text},
    },
    name::{CallerName, CredentialName, ListenerName, RouteName, UpstreamName},
    template::Scope,
};

/// How long a request may wait for a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

impl Check<'_> {
    pub(super) fn routes(
        &self,
        raw: &raw::Config,
        upstreams: &BTreeMap<UpstreamName, Upstream>,
        credentials: &BTreeMap<CredentialName, Credential>,
    ) -> Vec<Route> {
        let mut known_listeners = names(&raw.listeners);
        if known_listeners.is_empty() {
            known_listeners.insert("main".into());
        }
        let known = Known {
            listeners: known_listeners,
            upstreams: names(&raw.upstreams),
            credentials: names(&raw.credentials),
            callers: entries(&raw.listeners)
                .iter()
                .map(|(name, listener)| (name.clone(), names(&listener.callers)))
                .collect(),
        };
        let mut routes = Vec::new();
        for (name, route) in entries(&raw.routes) {
            let at = KeyPath::of(["routes", name.as_str()]);
            routes.extend(self.route(name, route, &known, upstreams, credentials, &at));
        }
        self.clashes(&routes);
        if routes.is_empty() && entries(&raw.routes).is_empty() {
            self.warn(
                &KeyPath::of(["routes"]),
                "there are no routes, so every request is answered with 404",
                "add one: `routes: { erp: { prefix: /erp, upstream: NAME } }`",
            );
        }
        routes
    }

    fn route(
        &self,
        name: &str,
        raw: &raw::Route,
        known: &Known,
        upstreams: &BTreeMap<UpstreamName, Upstream>,
        credentials: &BTreeMap<CredentialName, Credential>,
        at: &KeyPath,
    ) -> Option<Route> {
        let name: Option<RouteName> = self.name(name, at);
        let listener = self.known::<ListenerName>(&raw.listener, &at.key("listener"), "listener", &known.listeners);
        let host = self.host(&raw.host, &at.key("host"));
        let prefix = match &raw.prefix {
            Field::Absent => Some(String::new()),
            field => self.prefix(field, &at.key("prefix")),
        };
        let path = match &raw.path {
            Field::Absent => Some(None),
            field => self.pattern(field, &at.key("path")).map(Some),
        };
        let methods = self.methods(&raw.methods, &at.key("methods"));
        let allow = self.allow(&raw.allow, &at.key("allow"));
        let callers = self.callers_of(&raw.callers, listener.as_ref(), known, &at.key("callers"));
        if raw.upstream.is_absent() {
            self.fault_at_key(
                at,
                "`upstream` is missing".into(),
                Some("name one of `upstreams`".into()),
            );
        }
        let upstream = self.known::<UpstreamName>(&raw.upstream, &at.key("upstream"), "upstream", &known.upstreams);
        let credential = match &raw.credential {
            // An upstream that is not there was faulty, and then so is the config.
            Field::Absent => upstream
                .as_ref()
                .and_then(|name| upstreams.get(name)?.credential.clone()),
            Field::Given(Text(none)) if none == NO_CREDENTIAL => None,
            field => self.known::<CredentialName>(field, &at.key("credential"), "credential", &known.credentials),
        };
        let captured = path.iter().flatten().flat_map(|path| captures(path)).collect();
        let used = credential.as_ref().and_then(|name| credentials.get(name));
        let subject_headers = used.map_or_else(Vec::new, |credential| self.subject_of(credential, &captured, at));
        let mut headers = self.route_headers(&raw.headers, &captured, used, &at.key("headers"));
        let of_upstream = upstream.as_ref().and_then(|name| upstreams.get(name));
        if let Some((own, of_upstream)) = headers.as_mut().zip(of_upstream) {
            self.add_headers(own, of_upstream, &captured, at);
        }
        Some(Route {
            name: name?,
            listener,
            host,
            prefix: prefix?,
            path: path?,
            methods,
            allow,
            callers,
            upstream: upstream?,
            credential,
            subject_headers,
            headers: headers?,
            told: of_upstream.map(|upstream| upstream.told).unwrap_or_default(),
            token_timeout: self.timeout(&raw.token_timeout, TOKEN_TIMEOUT, &at.key("token_timeout")),
        })
    }

    /// Segments to remove: `/fluent`; empty for `/`.
    fn prefix(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let text = self.text(field, at)?;
        let prefix = text.strip_suffix('/').unwrap_or(&text);
        if !text.starts_with('/') || !are_plain(prefix) || prefix.contains(['{', '}', '%']) {
            self.fault(
                at,
                "a prefix is whole segments of a path".into(),
                Some("such as `/fluent` or `/erp/v2`, without captures and escapes".into()),
            );
            return None;
        }
        Some(prefix.to_owned())
    }

    /// A pattern for what is left of the path.
    fn pattern(&self, field: &Field<Text>, at: &KeyPath) -> Option<String> {
        let path = self.text(field, at)?;
        let readable = matchit::Router::new().insert(path.as_str(), ()).is_ok();
        if !path.starts_with('/') || !are_plain(path.strip_suffix('/').unwrap_or(&path)) || !readable {
            self.fault(
                at,
                "this is no pattern of a path".into(),
                Some(
                    "such as `/v2/tenants/{tenantUid}/{*rest}`: a capture is a whole segment, `{*rest}` is the last"
                        .into(),
                ),
            );
            return None;
        }
        let mut seen = BTreeSet::new();
        if captures(&path).any(|name| !seen.insert(name)) {
            self.fault(
                at,
                "this captures two segments under one name".into(),
                Some("give each capture a name of its own: `/{tenant}/{user}`".into()),
            );
            return None;
        }
        Some(path)
    }

    fn methods(&self, field: &Field<Vec<Field<Text>>>, at: &KeyPath) -> Vec<Method> {
        let mut methods = Vec::new();
        for (nth, text) in field.given().into_iter().flatten().enumerate() {
            let at = at.item(nth);
            if let Some(method) = text.given().and_then(|Text(text)| self.method_named(text, &at))
                && !methods.contains(&method)
            {
                methods.push(method);
            }
        }
        methods
    }

    fn method_named(&self, text: &str, at: &KeyPath) -> Option<Method> {
        let upper = text.to_ascii_uppercase();
        let is_method = !upper.is_empty() && upper.chars().all(|c| c.is_ascii_uppercase() || c == '-');
        let method = is_method.then(|| Method::from_bytes(upper.as_bytes()).ok()).flatten();
        if method.is_none() {
            self.fault(at, "this is no HTTP method".into(), Some("such as GET or POST".into()));
        }
        method
    }

    fn allow(&self, field: &Field<Vec<Field<Text>>>, at: &KeyPath) -> Vec<Allow> {
        let items = field.given().into_iter().flatten().enumerate();
        items
            .filter_map(|(nth, text)| {
                let Text(text) = text.given()?;
                let at = at.item(nth);
                let entry = allow(text);
                if entry.is_none() {
                    self.fault(
                        &at,
                        "this is no method and path".into(),
                        Some("such as `GET /api/**`, `POST /graphql` or `* /v1/*`; `**` is the last segment".into()),
                    );
                }
                let (method, segments) = entry?;
                let method = match method {
                    "*" => None,
                    method => Some(self.method_named(method, &at)?),
                };
                Some(Allow { method, segments })
            })
            .collect()
    }

    /// Who may use a route: each is known to a listener of it.
    fn callers_of(
        &self,
        field: &Field<Vec<Field<Text>>>,
        listener: Option<&ListenerName>,
        known: &Known,
        at: &KeyPath,
    ) -> Vec<CallerName> {
        let Some(texts) = field.given() else { return Vec::new() };
        if texts.is_empty() {
            self.fault(
                at,
                "with no caller named, nobody could use this route".into(),
                Some("name one of its listener's `callers`, or leave this out".into()),
            );
        }
        let listeners = known.callers.iter();
        let callers: BTreeSet<&String> = listeners
            .filter(|(name, _)| listener.is_none_or(|wanted| wanted.as_str() == name.as_str()))
            .flat_map(|(_, callers)| callers)
            .collect();
        let named = texts.iter().enumerate().filter_map(|(nth, text)| {
            let at = at.item(nth);
            let name = self.text(text, &at)?;
            if !callers.contains(&name) {
                self.fault(
                    &at,
                    "no listener of this route has a caller of that name".into(),
                    suggestion(&name, callers.iter().map(|name| name.as_str()))
                        .or_else(|| Some("name it: `listeners: { NAME: { callers: { … } } }`".into())),
                );
                return None;
            }
            // One that is known and malformed is a fault where it was given.
            name.parse().ok()
        });
        named.collect()
    }

    /// The header fields that a credential's subject reads; what it reads of the path must be captured.
    fn subject_of(&self, credential: &Credential, captured: &BTreeSet<&str>, at: &KeyPath) -> Vec<HeaderName> {
        let mut headers: Vec<HeaderName> = Vec::new();
        for part in &credential.spec.subject {
            for (scope, name) in part.from.references() {
                match scope {
                    // The name was read when the template was.
                    Scope::Header => headers.extend(name.parse().ok().filter(|name| !headers.contains(name))),
                    Scope::Path if !captured.contains(name) => self.fault_at_key(
                        at,
                        format!(
                            "the subject of credential `{}` reads `${{path:{name}}}`, and this route doesn't capture it",
                            credential.spec.name
                        ),
                        Some(format!("capture it: `path: /…/{{{name}}}/{{*rest}}`")),
                    ),
                    _ => {}
                }
            }
        }
        headers
    }
}

struct Known {
    listeners: BTreeSet<String>,
    upstreams: BTreeSet<String>,
    credentials: BTreeSet<String>,
    /// Of each listener.
    callers: BTreeMap<String, BTreeSet<String>>,
}

/// Whether a path has no empty and no dot segments, and nothing that ends a path.
fn are_plain(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '\\');
    path.chars().all(plain)
        && path
            .split('/')
            .skip(1)
            .all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The names that a pattern captures.
fn captures(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| {
        let name = rest.split('}').next()?;
        Some(name.strip_prefix('*').unwrap_or(name))
    })
}

/// `GET /api/**` as a method's word and segments.
fn allow(text: &str) -> Option<(&str, Vec<AllowSegment>)> {
    let (method, path) = text.split_once(' ')?;
    let path = path.trim().strip_prefix('/')?;
    let written: Vec<&str> = if path.is_empty() {
        Vec::new()
    } else {
        path.split('/').collect()
    };
    let last = written.len().saturating_sub(1);
    let mut segments = Vec::new();
    for (nth, segment) in written.into_iter().enumerate() {
        segments.push(match segment {
            "*" => AllowSegment::Any,
            "**" if nth == last => AllowSegment::Rest,
            "**" | "." | ".." => return None,
            // A final slash makes a last segment that is empty.
            "" if nth != last => return None,
            // A star within a segment would not do what it looks like.
            literal if literal.contains(['*', '?', '#', ' ']) => return None,
            literal => AllowSegment::Literal(percent_decode_str(literal).decode_utf8().ok()?.into_owned()),
        });
    }
    Some((method, segments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_entry_is_a_method_and_segments() {
        use AllowSegment::{Any, Literal, Rest};
        assert_eq!(allow("GET /api/**"), Some(("GET", vec![Literal("api".into()), Rest])));
        assert_eq!(allow("* /a%20b/*"), Some(("*", vec![Literal("a b".into()), Any])));
        assert_eq!(allow("GET /"), Some(("GET", vec![])));
        for wrong in ["GET", "GET api", "GET /**/x", "GET /a//b", "GET /../x", "GET /a*", "/x"] {
            assert_eq!(allow(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pattern_names_its_captures() {
        assert_eq!(captures("/a/{b}/{*c}").collect::<Vec<_>>(), ["b", "c"]);
    }
}
