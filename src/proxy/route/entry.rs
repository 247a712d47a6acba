//! A route as requests meet it: everything resolved, shared by all of them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use http::{HeaderName, HeaderValue, Method};

use super::{allow, closed::Closed};
use crate::{
    config::checked::{Allow, BaseUrl, Told},
    manager::Manager,
    metrics::RouteCounts,
    name::{CallerName, RouteName, UpstreamName},
    proxy::{ProxyError, limits::Limits},
    template::Template,
    upstream::Client,
};

/// An upstream, ready to be sent requests.
pub struct Target {
    /// Its name.
    pub name: UpstreamName,
    /// Where it is.
    pub base: BaseUrl,
    /// Its connections.
    pub client: Client,
    /// What Host says to it.
    pub host: HeaderValue,
    /// What it is spared.
    pub limits: Limits,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({}, {})", self.name, self.base.authority)
    }
}

/// A route, ready to serve.
pub struct Entry {
    /// Its name.
    pub name: RouteName,
    /// Where it goes.
    pub target: Arc<Target>,
    /// With which credential.
    pub manager: Option<Manager>,
    /// What is taken off the path before it is forwarded.
    pub prefix: String,
    /// Header fields that its credential's subject reads, which are not forwarded.
    pub subject_headers: Vec<HeaderName>,
    /// Extra header fields for the upstream.
    pub headers: Vec<(HeaderName, Template)>,
    /// What the upstream is told of a request's way.
    pub told: Told,
    /// How long a request may wait for a token.
    pub token_timeout: Duration,
    /// Where its requests are counted, once there was one.
    pub counts: OnceLock<Arc<RouteCounts>>,
    /// Where its listener's callers show their keys, if they have some.
    pub key_header: Option<HeaderName>,
    /// Who may use it; empty is everybody who may call.
    pub(super) callers: Vec<CallerName>,
    pub(super) allow: Vec<Allow>,
    pub(super) closed: Option<Arc<Closed>>,
    /// Its path pattern, with the names of the captures that its credential's subject reads, if it reads any.
    pub(super) masked: Option<(String, Vec<String>)>,
}

impl Entry {
    /// The path that may be told of a request, where the request's own holds a part of a subject (law 9): such
    /// segments are shown as the pattern has them. `rest` is what the prefix left.
    pub fn masked(&self, rest: &str) -> Option<String> {
        let (pattern, secret) = self.masked.as_ref()?;
        let mut shown = vec![self.prefix.as_str()];
        let mut segments = rest.split('/').skip(1);
        for wanted in pattern.split('/').skip(1) {
            let Some(segment) = segments.next() else { break };
            let capture = wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
            let tail = capture.and_then(|name| name.strip_prefix('*'));
            let is_secret = tail
                .or(capture)
                .is_some_and(|name| secret.iter().any(|other| other == name));
            shown.push(if is_secret { wanted } else { segment });
            if tail.is_some() && !is_secret {
                shown.extend(segments.by_ref());
            }
        }
        Some(shown.join("/"))
    }

    /// Whether this caller may use it.
    pub(super) fn is_for(&self, caller: Option<&CallerName>) -> Result<(), ProxyError> {
        if self.callers.is_empty() || caller.is_some_and(|caller| self.callers.contains(caller)) {
            return Ok(());
        }
        Err(ProxyError::NotForCaller {
            route: self.name.clone(),
        })
    }

    /// Whether some paths and methods are closed to callers by a list.
    pub fn has_list(&self) -> bool {
        !self.allow.is_empty()
    }

    /// Whether callers may send this method to what is left of their path.
    pub(super) fn may_be_called(&self, method: &Method, rest: &str) -> Result<(), ProxyError> {
        if !allow::allows(&self.allow, method, rest) {
            return Err(ProxyError::NotInAllow {
                route: self.name.clone(),
            });
        }
        let closed = self.closed.as_ref();
        match closed.and_then(|closed| closed.whose(method, &self.target.base.path, rest)) {
            Some(credential) => Err(ProxyError::TokenEndpoint {
                credential: credential.clone(),
            }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} to {:?})", self.name, self.target)
    }
}

/// The route of a request.
#[derive(Clone)]
pub struct Matched {
    /// The route.
    pub entry: Arc<Entry>,
    /// What its path captured: names and decoded text.
    pub captures: Vec<(String, String)>,
    /// Its path as it may be told, where its own may not.
    pub masked: Option<String>,
}

impl Matched {
    /// What is left of a path that this route matched: empty, or from a slash on.
    pub fn rest<'p>(&self, path: &'p str) -> &'p str {
        path.strip_prefix(self.entry.prefix.as_str()).unwrap_or(path)
    }
}

impl fmt::Debug for Matched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A capture may be a part of a subject, so its text is not for everybody.
        let names = self.captures.iter().map(|(name, _)| name);
        write!(f, "{:?} with ", self.entry)?;
        f.debug_list().entries(names).finish()
    }
}
