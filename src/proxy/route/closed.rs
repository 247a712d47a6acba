//! A credential's own token requests, which callers may not make: their answers would hold its tokens, and a
//! refresh made behind the manager's back would end its chain.

use http::{Method, Uri};
use secrecy::ExposeSecret;

use crate::{
    config::checked::BaseUrl,
    credential::{Spec, grant},
    name::CredentialName,
    proxy::{guard::is_same_place, normalise::path::decode},
    template::Scope,
};

/// Stands for what a request's URL takes from elsewhere; encoded it is no part of a written path.
const ANYTHING: &str = "*";

/// One closed endpoint of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closed {
    credential: CredentialName,
    method: Method,
    path: Vec<String>,
}

impl Closed {
    /// Those endpoints of a credential's sign-in, refresh and steps that are on this upstream's origin.
    pub(super) fn on(base: &BaseUrl, spec: &Spec) -> impl Iterator<Item = Self> {
        let grants = spec.sign_in.iter().chain(&spec.refresh);
        let requests = grants
            .chain(spec.steps.iter().map(|step| &step.grant))
            .map(|grant| &grant.request);
        requests.filter_map(|request| Self::of(base, spec, request))
    }

    fn of(base: &BaseUrl, spec: &Spec, request: &grant::Request) -> Option<Self> {
        let anything = |_: Scope, _: &str| Some(ANYTHING.to_owned());
        let url = request.url.render_url(&anything).ok()?;
        // The fragment, if somebody wrote one, is never sent.
        let url: Uri = url.expose_secret().parse().ok()?;
        let is_here = url.scheme() == Some(&base.scheme)
            && url
                .authority()
                .is_some_and(|authority| is_same_place(authority, &base.authority, base.scheme.as_str()));
        is_here.then(|| Self {
            credential: spec.name.clone(),
            method: as_asked(&request.method),
            path: loosely(url.path()).collect(),
        })
    }

    /// Whose it is.
    pub(super) fn credential(&self) -> &CredentialName {
        &self.credential
    }

    /// Whether a request to `base` and `rest` is this one. Paths are compared as the most lenient server would read
    /// them: fully decoded, in any case, without parameters and empty segments.
    pub(super) fn is(&self, method: &Method, base: &str, rest: &str) -> bool {
        as_asked(method) == self.method && {
            let mut asked = loosely(base).chain(loosely(rest));
            self.path.iter().all(|wanted| {
                asked
                    .next()
                    .is_some_and(|segment| wanted.contains(ANYTHING) || *wanted == segment)
            }) && asked.next().is_none()
        }
    }
}

/// HEAD asks what GET asks (RFC 9110 §9.3.2).
fn as_asked(method: &Method) -> Method {
    match *method {
        Method::HEAD => Method::GET,
        _ => method.clone(),
    }
}

fn loosely(path: &str) -> impl Iterator<Item = String> {
    let decoded = decode(path).map_or_else(|| path.to_owned(), |decoded| decoded.into_owned());
    let segments: Vec<String> = decoded
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default().to_lowercase())
        .filter(|segment| !segment.is_empty())
        .collect();
    segments.into_iter()
}
