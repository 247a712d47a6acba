//! Finding the route of a request, at a cost that doesn't grow with the number of routes.
//!
//! The more specific route wins: host, then the longer prefix, then a literal over a capture, then methods. Hosts
//! and prefixes are looked up in maps (a prefix once for each segment bound of the path), patterns in one radix
//! tree for each method.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use http::Method;

use super::{
    closed::Closed,
    entry::{Entry, Matched, Target},
};
use crate::{
    config::checked,
    manager::Manager,
    name::{CredentialName, ListenerName, RouteName, UpstreamName},
    proxy::{ProxyError, guard::plain_host, normalise::path::decode},
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
}

#[derive(Default)]
struct Prefixes {
    longest: usize,
    table: HashMap<String, Paths>,
}

#[derive(Default)]
struct Paths {
    by_method: HashMap<Method, Choice>,
    other_methods: Choice,
}

#[derive(Default)]
struct Choice {
    patterns: matchit::Router<Arc<Entry>>,
    everything: Option<Arc<Entry>>,
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
        let mut closed: BTreeMap<&UpstreamName, Arc<[Closed]>> = BTreeMap::new();
        let mut grouped: BTreeMap<(Option<String>, &str), Vec<(&checked::Route, Arc<Entry>)>> = BTreeMap::new();
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
            let closed = closed.entry(&route.upstream).or_insert_with(|| {
                let specs = managers.values().map(Manager::spec);
                specs.flat_map(|spec| Closed::on(&target.base, spec)).collect()
            });
            let host = route.host.as_deref().map(|host| plain_host(host).into_owned());
            hosts.extend(host.clone());
            grouped
                .entry((host, &route.prefix))
                .or_default()
                .push((route, entry(route, target, managers, closed)?));
        }
        let mut router = Self {
            listener: name.clone(),
            hosts,
            by_host: HashMap::new(),
            any_host: Prefixes::default(),
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

    /// Whose routes these are.
    pub fn listener(&self) -> &ListenerName {
        &self.listener
    }

    /// Whether the config calls the listener, or a route of it, by this name: in lower case, without port.
    pub fn knows_host(&self, host: &str) -> bool {
        self.hosts.contains(host)
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
    closed: &Arc<[Closed]>,
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
    Ok(Arc::new(Entry {
        name: route.name.clone(),
        target: target.clone(),
        manager,
        prefix: route.prefix.clone(),
        subject_headers: route.subject_headers.clone(),
        headers: route.headers.clone(),
        token_timeout: route.token_timeout,
        allow: route.allow.clone(),
        closed: closed.clone(),
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

enum Miss {
    Path,
    Method,
}

impl Paths {
    fn new(routes: &[(&checked::Route, Arc<Entry>)]) -> Result<Self, RouterError> {
        let named: BTreeSet<&str> = routes
            .iter()
            .flat_map(|(route, _)| &route.methods)
            .map(Method::as_str)
            .collect();
        let by_method = named
            .into_iter()
            .map(|named| {
                let takes = |route: &checked::Route| route.methods.iter().any(|method| method.as_str() == named);
                // Its name was a method's a moment ago.
                let method = Method::from_bytes(named.as_bytes()).unwrap_or_default();
                let of_method = routes.iter().filter(|(route, _)| takes(route));
                let of_all = routes.iter().filter(|(route, _)| route.methods.is_empty());
                Ok((method, Choice::new(of_method, of_all)?))
            })
            .collect::<Result<_, RouterError>>()?;
        let of_all = routes.iter().filter(|(route, _)| route.methods.is_empty());
        Ok(Self {
            by_method,
            other_methods: Choice::new(of_all, std::iter::empty())?,
        })
    }

    fn find(&self, method: &Method, rest: &str) -> Result<Matched, Miss> {
        let choice = self.by_method.get(method).unwrap_or(&self.other_methods);
        choice.find(rest).ok_or_else(|| {
            let is_elsewhere = self.by_method.values().any(|choice| choice.find(rest).is_some());
            if is_elsewhere { Miss::Method } else { Miss::Path }
        })
    }
}

/// A route and what it became.
type Pair<'r> = (&'r checked::Route, Arc<Entry>);

impl Choice {
    /// A tree of the routes that name a method and, where those leave room, of the routes that take all of them.
    fn new<'r>(
        first: impl Iterator<Item = &'r Pair<'r>>,
        then: impl Iterator<Item = &'r Pair<'r>>,
    ) -> Result<Self, RouterError> {
        let mut choice = Self::default();
        let mut tails = Vec::new();
        for (pair, may_yield) in first.map(|pair| (pair, false)).chain(then.map(|pair| (pair, true))) {
            let (route, entry) = pair;
            let Some(path) = &route.path else {
                match &choice.everything {
                    None => choice.everything = Some(entry.clone()),
                    Some(_) if may_yield => {}
                    Some(other) => {
                        return Err(RouterError::TellApart {
                            route: route.name.clone(),
                            other: other.name.clone(),
                        });
                    }
                }
                continue;
            };
            match choice.patterns.insert(path.as_str(), entry.clone()) {
                Ok(()) => {}
                Err(matchit::InsertError::Conflict { with }) if may_yield && shape(&with) == shape(path) => {}
                Err(error) => {
                    return Err(RouterError::ChangePath {
                        route: route.name.clone(),
                        reason: error.to_string(),
                    });
                }
            }
            tails.extend(without_tail(path).map(|path| (path, entry.clone())));
        }
        for (path, entry) in tails {
            // A route that was written for this very path comes before the end of a longer one's.
            let _ = choice.patterns.insert(path, entry);
        }
        Ok(choice)
    }

    fn find(&self, rest: &str) -> Option<Matched> {
        let path = if rest.is_empty() { "/" } else { rest };
        if let Ok(found) = self.patterns.at(path) {
            let captures = found
                .params
                .iter()
                .map(|(name, text)| (name.to_owned(), decode(text).unwrap_or(text.into()).into_owned()))
                .collect();
            return Some(Matched {
                entry: found.value.clone(),
                captures,
            });
        }
        self.everything.as_ref().map(|entry| Matched {
            entry: entry.clone(),
            captures: Vec::new(),
        })
    }
}

/// The tree's `{*rest}` doesn't match nothing, and operators expect that it does: `/a/{*rest}` is `/a` and `/a/` too.
fn without_tail(path: &str) -> impl Iterator<Item = String> {
    let head = path
        .rfind("/{*")
        .filter(|_| path.ends_with('}'))
        .map(|at| path[..at].to_owned());
    head.into_iter().flat_map(|head| {
        let slash = format!("{head}/");
        (!head.is_empty()).then_some(head).into_iter().chain([slash])
    })
}

/// A pattern without the names of its captures.
fn shape(path: &str) -> String {
    let mut shape = String::with_capacity(path.len());
    let mut is_name = false;
    for character in path.chars() {
        is_name &= character != '}';
        if !is_name || character == '*' {
            shape.push(character);
        }
        is_name |= character == '{';
    }
    shape
}

#[cfg(test)]
mod tests;
