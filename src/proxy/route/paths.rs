//! The routes that share a host and a prefix, told apart by path and method.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use http::Method;

use super::{
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
    pub(super) fn new(routes: &[Pair<'_>]) -> Result<Self, RouterError> {
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

    /// The route of a request; `rest` is what the prefix left.
    pub(super) fn find(&self, method: &Method, rest: &str) -> Result<Matched, Miss> {
        let choice = self.by_method.get(method).unwrap_or(&self.other_methods);
        choice.find(rest).ok_or_else(|| {
            let is_elsewhere = self.by_method.values().any(|choice| choice.find(rest).is_some());
            if is_elsewhere { Miss::Method } else { Miss::Path }
        })
    }
}

/// A route and what it became.
pub(super) type Pair<'r> = (&'r checked::Route, Arc<Entry>);

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
