//! The routes that share a host and a prefix, told apart by path and method.

use std::{collections::HashSet, sync::Arc};

use foldhash::HashMap;
use http::Method;

use super::{
    as_asked,
    entry::{Entry, Matched},
    router::RouterError,
};
use crate::{config::checked, proxy::normalise::path::decode};

/// Those of one host and prefix, by method.
#[derive(Default)]
pub(super) struct Paths {
    by_method: HashMap<Method, Choice>,
    other_methods: Choice,
}

#[derive(Default)]
struct Choice {
    patterns: matchit::Router<Arc<Entry>>,
    everything: Option<Arc<Entry>>,
}

/// Why no route of these wants a request.
pub(super) enum Miss {
    /// None has its path.
    Path,
    /// Some have its path, and none of those its method.
    Method,
}

impl Paths {
    /// Makes them ready to be found.
    pub(super) fn new<'r>(routes: &'r [Pair<'r>]) -> Result<Self, RouterError> {
        let named: HashSet<&'r Method> = routes.iter().flat_map(|(route, _)| &route.methods).collect();
        let naming = |method: &'r Method| routes.iter().filter(move |(route, _)| route.methods.contains(method));
        let of_all = || routes.iter().filter(|(route, _)| route.methods.is_empty());
        let by_method = named
            .into_iter()
            .map(|method| {
                let own = naming(method).map(|pair| (pair, Place::Own));
                // A route that names GET takes HEAD too, but where another names that.
                let of_get = (method == Method::HEAD).then(|| naming(&Method::GET));
                let of_get = of_get.into_iter().flatten().map(|pair| (pair, Place::Spare));
                let rest = of_all().map(|pair| (pair, Place::Left));
                Ok((method.clone(), Choice::new(own.chain(of_get).chain(rest))?))
            })
            .collect::<Result<_, RouterError>>()?;
        Ok(Self {
            by_method,
            other_methods: Choice::new(of_all().map(|pair| (pair, Place::Own)))?,
        })
    }

    /// The route of a request; `rest` is what the prefix left.
    pub(super) fn find(&self, method: &Method, rest: &str) -> Result<Matched, Miss> {
        let by_method = |method| self.by_method.get(method);
        let choice = by_method(method)
            .or_else(|| by_method(as_asked(method)))
            .unwrap_or(&self.other_methods);
        choice.find(rest).ok_or_else(|| {
            let is_elsewhere = self.by_method.values().any(|choice| choice.find(rest).is_some());
            if is_elsewhere { Miss::Method } else { Miss::Path }
        })
    }
}

/// A route and what it became.
pub(super) type Pair<'r> = (&'r checked::Route, Arc<Entry>);

/// How a route comes into a tree beside those before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// It must.
    Own,
    /// Only where its pattern is no other's.
    Left,
    /// Only where its pattern can stand beside the others.
    Spare,
}

impl Choice {
    /// A tree of the routes of a method, the most specific first.
    fn new<'r>(routes: impl Iterator<Item = (&'r Pair<'r>, Place)>) -> Result<Self, RouterError> {
        let mut choice = Self::default();
        let mut tails = Vec::new();
        for ((route, entry), place) in routes {
            let Some(path) = &route.path else {
                match &choice.everything {
                    None => choice.everything = Some(entry.clone()),
                    Some(_) if place != Place::Own => {}
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
                Err(_) if place == Place::Spare => continue,
                Err(matchit::InsertError::Conflict { with }) if place == Place::Left && shape(&with) == shape(path) => {
                }
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
                masked: None,
            });
        }
        self.everything.as_ref().map(|entry| Matched {
            entry: entry.clone(),
            captures: Vec::new(),
            masked: None,
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
