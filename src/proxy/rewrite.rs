//! The request in the upstream's own terms (URI, Host, subject), and its answer in the caller's (Location, cookies).

mod cookie;
mod hops;
mod link;
mod location;
mod overriding;
mod subject;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_LOCATION, HOST, LOCATION, SET_COOKIE},
    uri::PathAndQuery,
};
use pin_project_lite::pin_project;
use secrecy::ExposeSecret;
use tower::{Layer, Service};

pub use subject::Subject;

use super::{Exchange, Fields, Inbound, ProxyError, decided::Decided, guard::Caller, route::Entry};
use crate::credential::placement::strip_headers;

/// Makes [`Rewrite`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RewriteLayer;

impl<S> Layer<S> for RewriteLayer {
    type Service = Rewrite<S>;

    fn layer(&self, inner: S) -> Rewrite<S> {
        Rewrite { inner }
    }
}

/// Translates between a caller and its route's upstream; finds requests' [`Subject`].
#[derive(Debug, Clone)]
pub struct Rewrite<S> {
    inner: S,
}

impl<S, B, R> Service<Inbound<B>> for Rewrite<S>
where
    S: Service<Inbound<B>, Response = Response<R>, Error = ProxyError>,
{
    type Response = Response<R>;
    type Error = ProxyError;
    type Future = Rewritten<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let exchange = inbound.exchange.clone();
        Rewritten {
            answer: match towards_upstream(&mut inbound) {
                Ok(()) => Decided::passed(self.inner.call(inbound)),
                Err(error) => Decided::refused(error),
            },
            exchange,
        }
    }
}

fn towards_upstream<B>(Inbound { head, exchange, .. }: &mut Inbound<B>) -> Result<(), ProxyError> {
    // The layer above has found it.
    let matched = exchange.matched().ok_or(ProxyError::Internal)?;
    let (entry, base) = (&matched.entry, &matched.entry.target.base);

    // Where nothing is taken off and nothing put before it, it is the caller's own.
    if !(entry.prefix.is_empty() && base.path.is_empty()) {
        let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let (path, tail) = target.split_at(head.uri.path().len());
        let rest = matched.rest(path);
        let slash = if base.path.is_empty() && rest.is_empty() {
            "/"
        } else {
            ""
        };
        let target = [&base.path, rest, slash, tail].concat();
        let target = PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| ProxyError::Internal)?;
        head.uri = target.into();
    }
    // The client speaks whatever version it has agreed on with the upstream.
    let version = std::mem::replace(&mut head.version, Version::HTTP_11);

    let headers = &mut head.headers;
    let subject = Subject::read(entry, headers, &matched.captures)?;
    let extra = extra_headers(entry, headers, &matched.captures, &subject)?;
    // After everything was read from them, for a proxy in front may have put a user's name or token there.
    hops::tell(headers, entry.told, version, exchange);
    for name in &entry.subject_headers {
        strip_headers(headers, Some(name));
    }
    if entry.has_list() {
        overriding::strip(headers);
    }
    if let Some(extra) = extra {
        for (name, _) in &entry.headers {
            strip_headers(headers, Some(name));
        }
        headers.extend(extra);
    }
    headers.insert(HOST, entry.target.host.clone());
    if !subject.parts().is_empty() {
        exchange.found_subject(subject);
    }
    Ok(())
}

fn extra_headers(
    entry: &Entry,
    headers: &HeaderMap,
    captures: &[(String, String)],
    subject: &Subject,
) -> Result<Option<HeaderMap>, ProxyError> {
    if entry.headers.is_empty() {
        return Ok(None);
    }
    let mut extra = HeaderMap::new();
    for (name, template) in &entry.headers {
        let text = template
            .render(&subject::RequestValues::new(headers, captures, Some(subject)))
            .map_err(|missing| {
                ProxyError::bad_request(format!(
                    "route '{}' sends header '{name}' with ${{{}:{}}}, which this request lacks or repeats",
                    entry.name,
                    missing.scope.as_str(),
                    missing.name
                ))
            })?;
        let mut value = HeaderValue::from_bytes(text.expose_secret().as_bytes()).map_err(|_| {
            ProxyError::bad_request(format!(
                "route '{}' sends header '{name}', and what this request has for it can't stand in a header",
                entry.name
            ))
        })?;
        value.set_sensitive(true);
        extra.insert(name.clone(), value);
    }
    Ok(Some(extra))
}

fn towards_caller<R>(response: &mut Response<R>, entry: &Entry, caller: Option<&Caller>) {
    let fields = Fields::of(response.headers());
    if !fields.has(Fields::LOCATION | Fields::CONTENT_LOCATION | Fields::LINK | Fields::SET_COOKIE) {
        return;
    }
    let spec = entry.manager.as_ref().map(|manager| manager.spec());
    if spec.is_some_and(|spec| !spec.subject.is_empty()) {
        // One user's session must not become another's.
        response.headers_mut().remove(SET_COOKIE);
    }
    let terms = location::Terms {
        base: &entry.target.base,
        prefix: &entry.prefix,
        origin: caller.and_then(|caller| Some((caller.scheme, caller.authority.as_ref()?))),
        parameter: spec.and_then(|spec| spec.placement.parameter()),
    };
    let leads_on = response.status() == StatusCode::CREATED || response.status().is_redirection();
    translate(response.headers_mut(), &LOCATION, |location| {
        if leads_on {
            terms.localise(location)
        } else {
            terms.without_credential(location).into_owned()
        }
    });
    // What it names is the answer's own place, whatever the status (RFC 9110 §8.7).
    translate(response.headers_mut(), &CONTENT_LOCATION, |location| {
        terms.localise(location)
    });
    if fields.has(Fields::LINK) {
        link::translate(response.headers_mut(), &terms);
    }
    if fields.has(Fields::SET_COOKIE) {
        let cookies = response.headers_mut().iter_mut();
        for (_, cookie) in cookies.filter(|(name, _)| **name == SET_COOKIE) {
            let localised = std::str::from_utf8(cookie.as_bytes()).map(|text| terms.localise_cookie(text));
            if let Some(localised) = localised.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
                *cookie = localised;
            }
        }
    }
}

fn translate(headers: &mut HeaderMap, name: &HeaderName, into_ours: impl FnOnce(&str) -> String) {
    let Some(value) = headers.get(name) else { return };
    let ours = std::str::from_utf8(value.as_bytes())
        .ok()
        .and_then(|location| HeaderValue::try_from(into_ours(location)).ok());
    match ours {
        Some(ours) => headers.insert(name, ours),
        // What can't be read can't be cleared of the credential either.
        None => headers.remove(name),
    };
}

pin_project! {
    /// The future of [`Rewrite`].
    pub struct Rewritten<F> {
        #[pin]
        answer: Decided<F>,
        exchange: Arc<Exchange>,
    }
}

impl<F, R> Future for Rewritten<F>
where
    F: Future<Output = Result<Response<R>, ProxyError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let (Ok(response), Some(matched)) = (&mut answer, this.exchange.matched()) {
            towards_caller(response, &matched.entry, this.exchange.caller());
        }
        Poll::Ready(answer)
    }
}

#[cfg(test)]
mod tests;
