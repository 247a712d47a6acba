//! A credential's own token requests, which callers may not make: their answers would hold its tokens, and a
//! refresh made behind the manager's back would end its chain.
//!
//! There may be thousands on an origin, and every request is held against them: they are found by method and then
//! segment by segment, and a request that has no closed method costs the one look that tells so.

use std::{borrow::Cow, sync::Arc};

use foldhash::HashMap;
use http::{Method, Uri, uri::Scheme};
use secrecy::ExposeSecret;

use super::as_asked;
use crate::{
    config::checked::BaseUrl,
    credential::{Spec, grant},
    name::CredentialName,
    proxy::{guard::place, normalise::path::decode},
    template::Scope,
};

/// Stands for what a request's URL takes from elsewhere; encoded it is no part of a written path.
const ANYTHING: &str = "*";

/// The closed endpoints of all credentials, by where they are: scheme, host and port.
pub(super) struct Origins(HashMap<(Scheme, String, u16), Arc<Closed>>);

impl Origins {
    /// Those of these credentials' sign-ins, refreshes and steps.
    pub(super) fn of<'s>(specs: impl Iterator<Item = &'s Spec>) -> Self {
        let mut origins: HashMap<_, Closed> = HashMap::default();
        for spec in specs {
            let grants = spec.sign_in.iter().chain(&spec.refresh);
            let requests = grants
                .chain(spec.steps.iter().map(|step| &step.grant))
                .map(|grant| &grant.request);
            for (url, request) in requests.filter_map(|request| Some((url_of(request)?, request))) {
                let Some((scheme, authority)) = url.scheme().zip(url.authority()) else {
                    continue;
                };
                let (host, port) = place(authority, scheme.as_str());
                let closed = origins.entry((scheme.clone(), host.into_owned(), port)).or_default();
                closed.insert(&request.method, url.path(), &spec.name);
            }
        }
        Self(
            origins
                .into_iter()
                .map(|(origin, closed)| (origin, closed.into()))
                .collect(),
        )
    }

    /// Those on this upstream's origin, if there are any.
    pub(super) fn at(&self, base: &BaseUrl) -> Option<Arc<Closed>> {
        let (host, port) = place(&base.authority, base.scheme.as_str());
        self.0.get(&(base.scheme.clone(), host.into_owned(), port)).cloned()
    }
}

fn url_of(request: &grant::Request) -> Option<Uri> {
    let anything = |_: Scope, _: &str| Some(ANYTHING.to_owned());
    let url = request.url.render_url(&anything).ok()?;
    // The fragment, if somebody wrote one, is never sent.
    url.expose_secret().parse().ok()
}

/// The closed endpoints of one origin.
#[derive(Debug, Default)]
pub(super) struct Closed(HashMap<Method, Paths>);

/// Paths that go on from where they are alike.
#[derive(Debug, Default)]
struct Paths {
    /// By the next segment, as it is compared.
    by_segment: HashMap<String, Paths>,
    /// Those that any next segment belongs to.
    by_any: Option<Box<Paths>>,
    /// Whose request the path is that ends here; the first one's, where several credentials make it.
    whose: Option<CredentialName>,
}

impl Closed {
    fn insert(&mut self, method: &Method, path: &str, credential: &CredentialName) {
        let mut paths = self.0.entry(as_asked(method).clone()).or_default();
        let path = decoded(path);
        for segment in loosely(&path) {
            paths = if segment.contains(ANYTHING) {
                paths.by_any.get_or_insert_default()
            } else {
                paths.by_segment.entry(segment.into_owned()).or_default()
            };
        }
        paths.whose.get_or_insert_with(|| credential.clone());
    }

    /// Whose token request it would be to ask `base` and `rest` of the origin, if it is one. Paths are compared as
    /// the most lenient server would read them: fully decoded, in any case, without parameters and empty segments.
    pub(super) fn whose(&self, method: &Method, base: &str, rest: &str) -> Option<&CredentialName> {
        let paths = self.0.get(as_asked(method))?;
        let (base, rest) = (decoded(base), decoded(rest));
        paths.whose(loosely(&base).chain(loosely(&rest)))
    }
}

impl Paths {
    fn whose<'p>(&self, mut path: impl Iterator<Item = Cow<'p, str>> + Clone) -> Option<&CredentialName> {
        let Some(segment) = path.next() else {
            return self.whose.as_ref();
        };
        let written = self.by_segment.get(&*segment);
        let written = written.and_then(|paths| paths.whose(path.clone()));
        let any = self.by_any.as_ref().and_then(|paths| paths.whose(path));
        written.into_iter().chain(any).min()
    }
}

fn decoded(path: &str) -> Cow<'_, str> {
    decode(path).unwrap_or(path.into())
}

fn loosely(decoded: &str) -> impl Iterator<Item = Cow<'_, str>> + Clone {
    decoded
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default())
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            let is_lower = segment
                .bytes()
                .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
            if is_lower {
                segment.into()
            } else {
                segment.to_lowercase().into()
            }
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`Closed`] is a faster form of: a list that is walked.
    #[derive(Debug)]
    struct Listed(Vec<(Method, Vec<String>, CredentialName)>);

    impl Listed {
        fn whose(&self, method: &Method, base: &str, rest: &str) -> Option<&CredentialName> {
            let asked: Vec<String> = slowly(base).chain(slowly(rest)).collect();
            let is_asked = |path: &[String]| {
                path.len() == asked.len()
                    && path
                        .iter()
                        .zip(&asked)
                        .all(|(wanted, asked)| wanted.contains(ANYTHING) || wanted == asked)
            };
            let found = self
                .0
                .iter()
                .find(|(closed, path, _)| closed == as_asked(method) && is_asked(path));
            found.map(|(.., credential)| credential)
        }
    }

    fn slowly(path: &str) -> impl Iterator<Item = String> {
        let decoded = decode(path).map_or_else(|| path.to_owned(), Cow::into_owned);
        let segments: Vec<String> = decoded
            .split('/')
            .map(|segment| segment.split(';').next().unwrap_or_default().to_lowercase())
            .filter(|segment| !segment.is_empty())
            .collect();
        segments.into_iter()
    }

    fn closed(endpoints: &[(Method, String)]) -> (Closed, Listed) {
        let (mut closed, mut listed) = (Closed::default(), Listed(vec![]));
        for (nth, (method, path)) in endpoints.iter().enumerate() {
            let credential: CredentialName = format!("c{nth:02}").parse().unwrap();
            closed.insert(method, path, &credential);
            let path = slowly(path).collect();
            listed.0.push((as_asked(method).clone(), path, credential));
        }
        (closed, listed)
    }

    /// Of few pieces, so that many are alike but for how they are written.
    fn path() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "a", "A", "b", "%61", "%41", "a;x", ";", "%3B", "%2F", "%2f", "%25", "*", "%2A", "x*", "%ff", "é", "É",
                "%C3%89", "Σ", "aΣ", "", " ", "ab",
            ]),
            Just("/"),
            Just("/"),
        ];
        prop::collection::vec(piece, 0..7).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn method() -> impl Strategy<Value = Method> {
        prop::sample::select(vec![Method::GET, Method::HEAD, Method::POST])
    }

    proptest! {
        #[test]
        fn law_8_what_is_looked_up_is_what_a_walk_would_find(
            endpoints in prop::collection::vec((method(), path()), 0..12),
            asked in prop::collection::vec((method(), prop_oneof![Just(String::new()), path()], path()), 1..12),
        ) {
            let (closed, listed) = closed(&endpoints);
            let own = endpoints.iter().map(|(method, path)| (method, "", path.as_str()));
            let asked = asked.iter().map(|(method, base, rest)| (method, base.as_str(), rest.as_str()));
            for (method, base, rest) in own.chain(asked) {
                prop_assert_eq!(
                    closed.whose(method, base, rest),
                    listed.whose(method, base, rest),
                    "{} {} {}", method, base, rest
                );
            }
        }
    }

    #[test]
    fn a_path_in_plain_letters_is_compared_where_it_stands() {
        assert!(loosely(&decoded("/v2/oauth/a-b_c.1/")).all(|segment| matches!(segment, Cow::Borrowed(_))));
        assert!(matches!(decoded("/v2/oauth"), Cow::Borrowed(_)));
    }
}
