//! Who may call: the listener's callers, if it names any; in requests that name this listener, and not on behalf of
//! another web site.
//!
//! Anybody who can reach the port acts with the credential. A page in a browser on the same machine can reach it
//! too, through DNS rebinding or a plain cross-site request; both show in the request's own words.

mod authority;
mod callers;

use std::{
    borrow::Cow,
    net::IpAddr,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, Method, header::ORIGIN, uri::Authority};
use tower::{Layer, Service};

use super::{Address, Connection, Fields, Inbound, Proof, ProxyError, Router, decided::Decided};
use crate::{
    config::checked::Callers,
    credential::placement::strip_field,
    name::{CallerName, ListenerName},
};
use authority::Named;
pub use callers::Unproven;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How the caller of a request that passed the guard addressed us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// As written; `None` for an HTTP/1.0 request that names nobody.
    pub authority: Option<Authority>,
    /// Its host, in lower case, without port, brackets and final dot.
    pub host: Option<Arc<str>>,
    /// Which of the listener's callers it is; `None` where that names none.
    pub name: Option<CallerName>,
}

impl Caller {
    /// Whether `origin` (RFC 6454 §7) is the one that the request itself was sent to.
    fn is_origin(&self, origin: &[u8]) -> bool {
        let Some((own, other)) = self.authority.as_ref().zip(
            std::str::from_utf8(origin)
                .ok()
                .and_then(|origin| origin.split_once("://")),
        ) else {
            return false;
        };
        let (scheme, authority) = other;
        scheme == self.scheme
            && authority
                .parse::<Authority>()
                .is_ok_and(|authority| authority::same(own, &authority, self.scheme))
    }
}

/// Makes [`Guard`].
#[derive(Debug, Clone)]
pub struct GuardLayer {
    router: Arc<ArcSwap<Router>>,
}

impl GuardLayer {
    /// A guard that knows the hosts of this router.
    pub fn new(router: Arc<ArcSwap<Router>>) -> Self {
        Self { router }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guard<S>;

    fn layer(&self, inner: S) -> Guard<S> {
        Guard {
            inner,
            router: self.router.clone(),
            last: None,
        }
    }
}

/// Lets requests through that name this listener, with a [`Caller`].
#[derive(Debug, Clone)]
pub struct Guard<S> {
    inner: S,
    router: Arc<ArcSwap<Router>>,
    /// Whom the last request named.
    last: Option<Named>,
}

impl<S, B> Service<Inbound<B>> for Guard<S>
where
    S: Service<Inbound<B>, Error = ProxyError>,
{
    type Response = S::Response;
    type Error = ProxyError;
    type Future = Decided<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let router = self.router.load();
        if router.is_over() {
            return Decided::refused(ProxyError::Draining);
        }
        if !router.reads_paths() {
            inbound.exchange.set_path_may_be_told();
        }
        // First of all, so that strangers learn nothing else.
        let name = match router.callers() {
            None => None,
            Some(callers) => match recognise(&mut inbound, router.listener(), callers) {
                Ok(name) => Some(name),
                Err(error) => return Decided::refused(error),
            },
        };
        let knows_host = |host: &str| router.knows_host(host);
        match admit_next(&inbound, router.listener(), knows_host, &mut self.last) {
            Ok(caller) => {
                inbound.exchange.found_caller(Caller { name, ..caller });
                // A reload may replace the router before this request is routed: it is routed by the one that let it in.
                inbound.router = Some(router);
                Decided::passed(self.inner.call(inbound))
            }
            Err(error) => Decided::refused(error),
        }
    }
}

/// Which of a listener's callers sends this request; its key is taken off, whether or not it was needed.
fn recognise<B>(
    Inbound { head, exchange, .. }: &mut Inbound<B>,
    listener: &ListenerName,
    callers: &Callers,
) -> Result<CallerName, ProxyError> {
    let unknown = Proof::default();
    let proof = exchange
        .connection
        .as_ref()
        .map_or(&unknown, |connection| &connection.proof);
    let name = callers::identify(callers, &head.headers, proof).map_err(|why| ProxyError::CallerUnknown {
        listener: listener.clone(),
        why,
        takes_bearer: callers.takes_bearer(),
    })?;
    if let Some(header) = callers.key_field() {
        // Nothing else: a subject may be read from `authorization`.
        strip_field(&mut head.headers, header);
    }
    Ok(name.clone())
}

/// Who sends this request to a listener that the config calls by the hosts that it knows; or why it may not.
pub fn admit<B>(
    inbound: &Inbound<B>,
    listener: &ListenerName,
    knows_host: impl Fn(&str) -> bool,
) -> Result<Caller, ProxyError> {
    admit_next(inbound, listener, knows_host, &mut None)
}

fn admit_next<B>(
    Inbound { head, exchange, .. }: &Inbound<B>,
    listener: &ListenerName,
    knows_host: impl Fn(&str) -> bool,
    last: &mut Option<Named>,
) -> Result<Caller, ProxyError> {
    match head.method {
        Method::CONNECT => {
            return Err(ProxyError::bad_request(
                "CONNECT asks for a tunnel, and bearerd is a reverse proxy: send plain HTTP to it as to a server, \
                 and don't set it as the application's HTTP proxy",
            ));
        }
        // Its answer would show the caller the credential that was put in (RFC 9110 §9.3.8).
        Method::TRACE => {
            return Err(ProxyError::bad_request(
                "TRACE is not forwarded: its answer repeats the credential",
            ));
        }
        _ => {}
    }
    let connection = exchange.connection.as_deref();
    let (authority, host) = authority::effective(&head.uri, &head.headers, head.version, last)?.unzip();
    let caller = Caller {
        scheme: match connection {
            Some(Connection { tls: true, .. }) => "https",
            _ => "http",
        },
        authority,
        host,
        name: None,
    };
    if let Some(host) = &caller.host
        && !is_known(host, connection.map(|connection| connection.local), knows_host)
    {
        return Err(ProxyError::UnknownHost {
            listener: listener.clone(),
            host: host.to_string(),
        });
    }
    if exchange.fields.has(Fields::ORIGIN | Fields::SEC_FETCH_SITE) {
        refuse_other_sites(&head.headers, &caller)?;
    }
    Ok(caller)
}

/// Ports don't count: a container's published port is another than the bound one, and rebinding changes names,
/// not ports. Nor can an address be rebound, so loopback's are as good as `localhost`.
fn is_known(host: &str, local: Option<Address>, knows_host: impl Fn(&str) -> bool) -> bool {
    if host == "localhost" || knows_host(host) {
        return true;
    }
    let Ok(address) = host.parse::<IpAddr>() else {
        return false;
    };
    // An IPv4 address in IPv6's clothes leads here too, and browsers don't take it for loopback: they mark nothing
    // that they send to it (W3C Secure Contexts §3.1).
    if address.to_canonical() != address {
        return false;
    }
    let is_own = matches!(local, Some(Address::Tcp(own)) if own.ip().to_canonical() == address);
    is_own || address.is_loopback()
}

/// Of what browsers mark, only `same-origin` and `none` (typed by the user) pass.
fn refuse_other_sites(headers: &HeaderMap, caller: &Caller) -> Result<(), ProxyError> {
    let passes = |value: &[u8]| matches!(value, b"same-origin" | b"none");
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    if !sites.all(|value| passes(value.as_bytes())) {
        return Err(ProxyError::BrowserRefused { mark: "sec-fetch-site" });
    }
    let mut origins = headers.get_all(ORIGIN).iter();
    if !origins.all(|origin| caller.is_origin(origin.as_bytes())) {
        return Err(ProxyError::BrowserRefused { mark: "origin" });
    }
    Ok(())
}

/// A host in the form that hosts are compared in.
pub(super) fn plain_host(host: &str) -> Cow<'_, str> {
    authority::plain(host)
}

/// Whether two authorities under this scheme are the same place.
pub(super) fn is_same_place(one: &Authority, other: &Authority, scheme: &str) -> bool {
    authority::same(one, other, scheme)
}

/// The place that an authority under this scheme names: its host, in the form that hosts are compared in, and its port.
pub(super) fn place<'a>(authority: &'a Authority, scheme: &str) -> (Cow<'a, str>, u16) {
    authority::place(authority, scheme)
}

#[cfg(test)]
mod tests;
