//! Finding the route of a request, at a cost that doesn't grow with the number of routes.
//!
//! The more specific route wins: host, then the longer prefix, then a literal over a capture, then methods. Hosts
//! and prefixes are looked up in maps (a prefix once for each segment bound of the path), patterns in one radix
//! tree for each method.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use foldhash::{HashMap, HashSet};
use http::{HeaderName, Method};

use super::{
    closed::{Closed, Origins},
    entry::{Entry, Matched, Target},
    paths::{Miss, Pair, Paths},
};
use crate::{
    config::checked,
    manager::Manager,
    name::{CredentialName, ListenerName, RouteName, UpstreamName},
    proxy::{ProxyError, guard::plain_host},
    template::Scope,
};

/// Why routes can't be served. The config room has checked all of this; a reload must not panic over it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouterError {
    /// No such upstream was given.
    #[error("route '{route}' goes to upstream '{upstream}', which isn't there; define it under upstreams")]
    DefineUpstream {
        /// The route.
        route: RouteName,
        /// The upstream.
        upstream: UpstreamName,
    },
    /// No such credential was given.
    #[error("route '{route}' uses credential '{credential}', which isn't there; define it under credentials")]
    DefineCredential {
        /// The route.
        route: RouteName,
        /// The credential.
        credential: CredentialName,
    },
    /// Its path can't stand beside the others.
    #[error("the path of route '{route}' can't be matched: {reason}; change routes.{route}.path")]
    ChangePath {
        /// The route.
        route: RouteName,
        /// Why.
        reason: String,
    },
    /// Another route wants the very same requests.
    #[error("routes '{route}' and '{other}' want the same requests; give one of them a prefix, path, host or method")]
    TellApart {
        /// A route.
        route: RouteName,
        /// The other.
        other: RouteName,
    },
}

/// The routes of one listener.
pub struct Router {
    listener: ListenerName,
    hosts: HashSet<String>,
    by_host: HashMap<String, Prefixes>,
    any_host: Prefixes,
    reads_paths: bool,
    callers: Option<Arc<checked::Callers>>,
    is_over: bool,
}

#[derive(Default)]
struct Prefixes {
    longest: usize,
    table: HashMap<String, Paths>,
}

impl Router {
    /// The router of this listener: those of `routes` that are for it.
    pub fn new(
        name: &ListenerName,
        listener: &checked::Listener,
        routes: &[checked::Route],
        targets: &BTreeMap<UpstreamName, Arc<Target>>,
        managers: &BTreeMap<CredentialName, Manager>,
    ) -> Result<Self, RouterError> {
        let mut hosts: HashSet<String> = listener
            .hosts
            .iter()
            .map(|host| plain_host(host).into_owned())
            .collect();
        if let checked::Bind::Tcp(address) = &listener.bind
            && !address.ip().is_unspecified()
        {
            hosts.insert(address.ip().to_canonical().to_string());
        }
        let key_header = listener.callers.as_ref().and_then(|callers| callers.key_field());
        let closed = Origins::of(managers.values().map(|manager| &**manager.spec()));
        let mut grouped: BTreeMap<(Option<String>, &str), Vec<Pair<'_>>> = BTreeMap::new();
        for route in routes
            .iter()
            .filter(|route| route.listener.as_ref().is_none_or(|wanted| wanted == name))
        {
            let target = targets
                .get(&route.upstream)
                .ok_or_else(|| RouterError::DefineUpstream {
                    route: route.name.clone(),
                    upstream: route.upstream.clone(),
                })?;
            let host = route.host.as_deref().map(|host| plain_host(host).into_owned());
            hosts.extend(host.clone());
            grouped.entry((host, &route.prefix)).or_default().push((
                route,
                entry(route, target, managers, closed.at(&target.base), key_header)?,
            ));
        }
        let reads_paths = grouped.values().flatten().any(|(_, entry)| entry.masked.is_some());
        let mut router = Self {
            listener: name.clone(),
            callers: listener.callers.clone(),
            reads_paths,
            hosts,
            by_host: HashMap::default(),
            any_host: Prefixes::default(),
            is_over: false,
        };
        for ((host, prefix), routes) in grouped {
            let prefixes = match host {
                Some(host) => router.by_host.entry(host).or_default(),
                None => &mut router.any_host,
            };
            prefixes.longest = prefixes.longest.max(prefix.len());
            prefixes.table.insert(prefix.to_owned(), Paths::new(&routes)?);
        }
        Ok(router)
    }

    /// What is left of a listener that is gone, or goes on by other rules: nobody is served any more.
    pub fn over(name: ListenerName) -> Self {
        Self {
            listener: name,
            // Nothing is known of the paths that are asked for.
            reads_paths: true,
            callers: None,
            hosts: HashSet::default(),
            by_host: HashMap::default(),
            any_host: Prefixes::default(),
            is_over: true,
        }
    }

    /// Whether nobody is served any more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whose routes these are.
    pub fn listener(&self) -> &ListenerName {
        &self.listener
    }

    /// Who may call it; `None` is everybody who can connect.
    pub fn callers(&self) -> Option<&checked::Callers> {
        self.callers.as_deref()
    }

    /// Whether the config calls the listener, or a route of it, by this name: in lower case, without port.
    pub fn knows_host(&self, host: &str) -> bool {
        self.hosts.contains(host)
    }

    /// Whether a subject of one of its routes is read from the path.
    pub fn reads_paths(&self) -> bool {
        self.reads_paths
    }

    /// The route of a request; `path` is in normal form.
    pub fn find(&self, host: Option<&str>, method: &Method, path: &str) -> Result<Matched, ProxyError> {
        let own = host.and_then(|host| self.by_host.get(host));
        let mut missed = "has this host and path";
        for prefixes in own.into_iter().chain([&self.any_host]) {
            for (paths, rest) in prefixes.along(path) {
                match paths.find(method, rest) {
                    Ok(matched) => return Ok(matched),
                    Err(Miss::Method) => missed = "that has this host and path takes this method",
                    Err(Miss::Path) => {}
                }
            }
        }
        Err(ProxyError::NoRoute {
            listener: self.listener.clone(),
            missed,
        })
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Router({})", self.listener)
    }
}

fn entry(
    route: &checked::Route,
    target: &Arc<Target>,
    managers: &BTreeMap<CredentialName, Manager>,
    closed: Option<Arc<Closed>>,
    key_header: Option<&HeaderName>,
) -> Result<Arc<Entry>, RouterError> {
    let manager = match &route.credential {
        None => None,
        Some(credential) => Some(
            managers
                .get(credential)
                .cloned()
                .ok_or_else(|| RouterError::DefineCredential {
                    route: route.name.clone(),
                    credential: credential.clone(),
                })?,
        ),
    };
    let masked = route.path.clone().and_then(|pattern| {
        let subject = manager.iter().flat_map(|manager| &manager.spec().subject);
        let secret: Vec<String> = subject
            .flat_map(|part| part.from.references())
            .filter(|(scope, _)| *scope == Scope::Path)
            .map(|(_, name)| name.to_owned())
            .collect();
        (!secret.is_empty()).then_some((pattern, secret))
    });
    Ok(Arc::new(Entry {
        name: route.name.clone(),
        target: target.clone(),
        manager,
        prefix: route.prefix.clone(),
        subject_headers: route.subject_headers.clone(),
        headers: route.headers.clone(),
        told: route.told,
        token_timeout: route.token_timeout,
        counts: OnceLock::new(),
        key_header: key_header.cloned(),
        callers: route.callers.clone(),
        allow: route.allow.clone(),
        closed,
        masked,
    }))
}

impl Prefixes {
    /// The prefixes of a path on segment bounds, longest first, each with what is left.
    fn along<'p>(&'p self, path: &'p str) -> impl Iterator<Item = (&'p Paths, &'p str)> {
        let bounds = path.match_indices('/').map(|(at, _)| at).rev();
        std::iter::once(path.len())
            .chain(bounds)
            .filter(|at| *at <= self.longest)
            .filter_map(|at| {
                let (prefix, rest) = path.split_at(at);
                self.table.get(prefix).map(|paths| (paths, rest))
            })
    }
}

#[cfg(test)]
mod tests;
