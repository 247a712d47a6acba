//! The whole pipeline of a listener, top to bottom: a request goes down, its answer comes up.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Service, ServiceBuilder};

use super::{
    Connection, Inbound,
    asterisk::{Asterisk, AsteriskLayer},
    authorize::{Authorize, AuthorizeLayer},
    forward::Forward,
    guard::{Guard, GuardLayer},
    limits::{Limit, LimitLayer},
    linger::Linger,
    normalise::{Normalise, NormaliseLayer},
    request_id::{RequestIdLayer, WithRequestId},
    rescue::{Rescue, RescueLayer},
    rewrite::{Rewrite, RewriteLayer},
    route::{Route, RouteLayer, Router},
    spans::{self, Calls, Requests, Routes},
    trace::{Trace, TraceLayer},
    upgrade::{Upgrade, UpgradeLayer},
};
use crate::{
    clock::Clock,
    metrics::Metrics,
    name::ListenerName,
    upstream::{Body, BoxError},
};

/// What a listener's stack is made of.
#[derive(Debug, Clone)]
pub struct ListenerContext {
    /// The listener.
    pub name: ListenerName,
    /// Its routes and hosts; a reload stores others.
    pub router: Arc<ArcSwap<Router>>,
    /// Where requests are counted.
    pub metrics: Arc<Metrics>,
    /// What durations are measured with.
    pub clock: Clock,
}

/// A listener's stack, to be made each connection's own by [`Stack::of`].
pub fn stack(context: ListenerContext) -> Stack {
    let ListenerContext {
        name,
        router,
        metrics,
        clock,
    } = context;
    let requests = spans::of_requests(&name);
    let service = ServiceBuilder::new()
        // First of all an id, so that every line about a request and its answer can be found by it.
        .layer(RequestIdLayer::default())
        // Outside everything that refuses, so that refusals have a line; outside authorize, so that it never sees
        // a credential.
        .layer(TraceLayer::new(name, metrics.clone(), clock.clone()))
        // Outside everything that answers, so that refusals have a span; within request id, which it tells.
        .layer(requests)
        // Layers within say what is wrong as a type; here, and only here, it becomes an answer.
        .layer(RescueLayer)
        // Before anything is read into the request, whether this caller may send it at all.
        .layer(GuardLayer::new(router))
        // Before paths are read, for this is none; within the guard, for it tells that somebody is here.
        .layer(AsteriskLayer)
        // Before the fields that ask for it end here; within the guard, for pages open WebSockets too.
        .layer(UpgradeLayer)
        // Before routing, so that what is matched is what is forwarded; before authorize, so that a caller's
        // `Connection: authorization` can't take the credential out again.
        .layer(NormaliseLayer)
        // From here on the upstream, the credential and the lists that close paths are known.
        .layer(RouteLayer)
        // Where the route has just been found.
        .layer(spans::of_routes())
        // Before anything is done for a request that its upstream is to be spared; after route, which knows the upstream.
        .layer(LimitLayer)
        // In the upstream's own terms from here on; what comes back is put into the caller's terms.
        .layer(RewriteLayer)
        // Last, and so beyond the reach of every layer above: strip, get a token, put it in; once more on a 401.
        .layer(AuthorizeLayer::new(metrics, clock))
        // Within what sends twice, so that each sending has a span.
        .layer(spans::of_calls())
        .service(Forward);
    Stack {
        layers: service,
        connection: None,
    }
}

/// The layers by name, so that neither a request nor its future needs a box.
type Layers = WithRequestId<Trace<Requests<Rescue<Guard<Asterisk<Upgrade<Normalise<Route<Routes<Inner>>>>>>>>>>;
/// The layers that know the route.
type Inner = Limit<Rewrite<Authorize<Calls<Forward>>>>;

/// A listener's stack, made by [`stack()`].
#[derive(Debug, Clone)]
pub struct Stack {
    layers: Layers,
    connection: Option<Arc<Connection>>,
}

impl Stack {
    /// For the requests of this connection, whose own address is among the hosts that the guard knows then.
    pub fn of(&self, connection: Connection) -> Self {
        Self {
            layers: self.layers.clone(),
            connection: Some(Arc::new(connection)),
        }
    }
}

impl<B> Service<Request<B>> for Stack
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = <Layers as Service<Inbound<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Inbound<Body>>::poll_ready(&mut self.layers, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inbound = Inbound::new(request, self.connection.clone());
        self.layers.call(inbound.map(|head, body| match body.is_end_stream() {
            // Nothing of it is left to be read: most requests have no body.
            true => Body::default(),
            // Before anything can let go of the body.
            false => Linger::over(body, head).boxed_unsync(),
        }))
    }
}
