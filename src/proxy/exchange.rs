//! A request on its way down the stack, and what layers tell one another of it and of its answer.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, Uri, request::Parts};

use super::{
    Connection,
    fields::Fields,
    guard::Caller,
    rewrite::Subject,
    route::{Matched, Router},
};

/// A request within the stack.
pub struct Inbound<B> {
    /// What is left of its head: each layer takes off what is its own. In a box, for it goes through many hands.
    pub head: Box<Parts>,
    /// Its body.
    pub body: B,
    /// What is known of it.
    pub exchange: Arc<Exchange>,
    /// The routes of its listener, as they were when it was let in; taken when its own is looked for.
    pub router: Option<arc_swap::Guard<Arc<Router>>>,
}

/// What is known of one request. Each fact is found once, by one layer, and read by those within and by what the layer's
/// answer passes on its way back.
#[derive(Default)]
pub struct Exchange {
    /// The connection that it came on, where that is known.
    pub connection: Option<Arc<Connection>>,
    /// The method that it came with.
    pub method: Method,
    /// The target that it came with.
    pub uri: Uri,
    /// The header fields that it came with.
    pub fields: Fields,
    id: Option<HeaderValue>,
    caller: OnceLock<Caller>,
    upgrade: OnceLock<HeaderValue>,
    matched: OnceLock<Matched>,
    subject: OnceLock<Subject>,
    may_tell_path: AtomicBool,
    was_replayed: AtomicBool,
    /// In nanoseconds.
    upstream: AtomicU64,
    /// In nanoseconds.
    token: AtomicU64,
}

impl<B> Inbound<B> {
    /// A request that came on this connection.
    pub fn new(request: Request<B>, connection: Option<Arc<Connection>>) -> Self {
        let (head, body) = request.into_parts();
        // Field by field: it is large to be made twice.
        let exchange = Exchange {
            connection,
            method: head.method.clone(),
            uri: head.uri.clone(),
            fields: Fields::of(&head.headers),
            id: None,
            caller: OnceLock::new(),
            upgrade: OnceLock::new(),
            matched: OnceLock::new(),
            subject: OnceLock::new(),
            may_tell_path: AtomicBool::new(false),
            was_replayed: AtomicBool::new(false),
            upstream: AtomicU64::new(0),
            token: AtomicU64::new(0),
        };
        Self {
            head: Box::new(head),
            body,
            exchange: Arc::new(exchange),
            router: None,
        }
    }

    /// It is found by this in logs. To be said first of all, while nobody else knows of it.
    pub fn found_id(&mut self, id: HeaderValue) {
        let exchange = Arc::get_mut(&mut self.exchange);
        debug_assert!(exchange.is_some(), "somebody knows of it already");
        if let Some(exchange) = exchange {
            exchange.id = Some(id);
        }
    }

    /// The same with another body.
    pub fn map<C>(self, map: impl FnOnce(&Parts, B) -> C) -> Inbound<C> {
        Inbound {
            body: map(&self.head, self.body),
            head: self.head,
            exchange: self.exchange,
            router: self.router,
        }
    }
}

impl<B> fmt::Debug for Inbound<B> {
    /// Its target and its fields may hold secrets (law 9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbound({:?})", self.exchange)
    }
}

impl fmt::Debug for Exchange {
    /// Its target may hold a secret (law 9).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({}, {:?})", self.method, self.matched())
    }
}

/// Facts are found once: a second finding of the same is dropped.
impl Exchange {
    /// What it is found by in logs; nothing until it was given one.
    pub fn id(&self) -> Option<&HeaderValue> {
        self.id.as_ref()
    }

    /// How the caller addressed us.
    pub fn caller(&self) -> Option<&Caller> {
        self.caller.get()
    }

    /// The caller is this one.
    pub fn found_caller(&self, caller: Caller) {
        let _ = self.caller.set(caller);
    }

    /// The protocols that the caller may switch to, where its `Upgrade` goes on to the upstream.
    pub fn upgrade(&self) -> Option<&HeaderValue> {
        self.upgrade.get()
    }

    /// The caller wants one of these protocols.
    pub fn wants_upgrade(&self, protocols: HeaderValue) {
        let _ = self.upgrade.set(protocols);
    }

    /// Its route.
    pub fn matched(&self) -> Option<&Matched> {
        self.matched.get()
    }

    /// Its route is this one.
    pub fn found_route(&self, matched: Matched) -> &Matched {
        self.matched.get_or_init(|| matched)
    }

    /// Whom its token is for; nobody in particular until that was read.
    pub fn subject(&self) -> &Subject {
        self.subject.get_or_init(Subject::default)
    }

    /// Its token is for this one.
    pub fn found_subject(&self, subject: Subject) {
        let _ = self.subject.set(subject);
    }

    /// Whether its path can't hold a part of a subject, whatever it was meant for (law 9): nobody knows at first.
    pub fn may_tell_path(&self) -> bool {
        self.may_tell_path.load(Ordering::Relaxed)
    }

    /// No route of its listener reads a subject from the path.
    pub fn set_path_may_be_told(&self) {
        self.may_tell_path.store(true, Ordering::Relaxed);
    }

    /// How long it has waited for its upstream, its place in line and a connection included; for all attempts together.
    pub fn upstream_time(&self) -> Duration {
        Duration::from_nanos(self.upstream.load(Ordering::Relaxed))
    }

    /// It has waited for its upstream for so long.
    pub fn spent_upstream(&self, time: Duration) {
        self.upstream.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// How long it has waited for tokens.
    pub fn token_time(&self) -> Duration {
        Duration::from_nanos(self.token.load(Ordering::Relaxed))
    }

    /// It has waited for a token for so long.
    pub fn spent_on_token(&self, time: Duration) {
        self.token.fetch_add(nanos(time), Ordering::Relaxed);
    }

    /// Whether it was sent a second time.
    pub fn was_replayed(&self) -> bool {
        self.was_replayed.load(Ordering::Relaxed)
    }

    /// It was sent a second time.
    pub fn set_replayed(&self) {
        self.was_replayed.store(true, Ordering::Relaxed);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_9_a_request_is_shown_without_what_it_says() {
        let request = Request::get("/canary?key=canary").header("authorization", "Bearer canary");
        let mut inbound = Inbound::new(request.body("canary").unwrap(), None);
        inbound.found_id(HeaderValue::from_static("canary"));
        let shown = format!("{inbound:?} {:?}", inbound.exchange);
        assert!(shown.contains("GET") && !shown.contains("canary"), "{shown}");
    }
}
