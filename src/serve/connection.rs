//! One connection, from its first byte to its end.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use pin_project_lite::pin_project;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tower::Service;

use super::{
    answers::Answers,
    drain::Drain,
    head_timer::HeadTimer,
    preface::{Version, sniff},
    tls::secure,
};
use crate::{proxy::Connection, upstream::Seldom};

/// How connections are treated.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a new connection may say nothing.
    pub first_byte_timeout: Duration,
    /// How long a request's head may take; it is cut off then, or up to a quarter of that later. A kept-alive connection
    /// that waits for its next request counts too, so this is also how long one may be idle.
    pub header_timeout: Duration,
    /// Send header names in title case, and keep the case of those that pass through.
    pub title_case_headers: bool,
    /// What TLS is spoken with; what is put in its place is for new connections. Without it, they are plain.
    pub tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            first_byte_timeout: Duration::from_secs(30),
            // Longer than the minute for which common clients keep idle connections, so that they close first.
            header_timeout: Duration::from_secs(75),
            title_case_headers: false,
            tls: None,
            // Two round trips to the other side of the world, and a packet lost on each.
            handshake_timeout: Duration::from_secs(10),
        }
    }
}

/// How long a connection that says nothing is kept once the drain has started: a request may be on its way, from a
/// client that has not heard of it. Its answer says that the connection ends, and so nothing is lost.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// The most that is held of a request's head, and of an answer that is read more slowly than it comes; hyper's own bound
/// is three times as much, for each of thousands of slow readers.
const MOST_BUFFERED: usize = 128 * 1024;

/// How often a silent HTTP/2 client is asked whether it is still there.
const HTTP2_PING_INTERVAL: Duration = Duration::from_secs(30);

impl Options {
    fn http1(&self, timer: HeadTimer) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(timer)
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MOST_BUFFERED)
            .title_case_headers(self.title_case_headers)
            .preserve_header_case(self.title_case_headers);
        builder
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING_INTERVAL);
        builder
    }
}

/// The service of one connection, whose requests are handed over one after the other, so that it isn't cloned for each.
struct OfConnection<S> {
    service: RefCell<S>,
    /// Says when answers are to tell that the connection ends; HTTP/2 has its own way (GOAWAY, RFC 9113 §6.8).
    farewell: Option<Arc<Drain>>,
}

impl<S, B> hyper::service::Service<Request<Incoming>> for OfConnection<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let mut service = self.service.borrow_mut();
        // As a caller of a service must. What is served here is always ready: it answers instead that it is not.
        let _ = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        Answering {
            answer: service.call(request),
            farewell: self.farewell.clone(),
        }
    }
}

pin_project! {
    /// An answer to come, which tells the client to go if the drain has started by then (RFC 9112 §9.6).
    struct Answering<F> {
        #[pin]
        answer: F,
        farewell: Option<Arc<Drain>>,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let mut answer = std::task::ready!(this.answer.poll(cx))?;
        if this.farewell.as_ref().is_some_and(|drain| drain.has_started()) {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(answer))
    }
}

/// Bytes both ways, whatever they go over.
pub(super) type Boxed = Box<dyn Duplex>;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}

impl<I: AsyncRead + AsyncWrite + Unpin + Send> Duplex for I {}

/// Serves a connection that speaks TLS, as [`run`] does a plain one.
pub(super) async fn run_secured<M, S>(
    stream: Boxed,
    mut connection: Connection,
    tls: Arc<ServerConfig>,
    services: Arc<M>,
    options: &Options,
    mut drain: Drain,
) where
    M: Fn(Connection) -> S,
    S: Answers,
{
    // In a box, which is gone once the connection is secured.
    let securing = Box::pin(secure(stream, tls, options.handshake_timeout));
    let Some((stream, certificate)) = before_the_end(securing, &mut drain).await else {
        return;
    };
    connection.tls = true;
    connection.proof.certificate = certificate;
    let stream: Boxed = Box::new(stream);
    run(stream, services(connection), options, drain).await;
}

/// Serves a connection until either side ends it; once the drain has started, until its open requests are answered.
pub(super) async fn run<I, S>(stream: I, service: S, options: &Options, mut drain: Drain)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Answers,
{
    let sniffing = pin!(sniff(stream, options.first_byte_timeout));
    let Some((version, mut stream)) = before_the_end(sniffing, &mut drain).await else {
        return;
    };
    let service = OfConnection {
        service: RefCell::new(service),
        // Of this connection alone: all of them counting up and down in one place would slow each other.
        farewell: (version == Version::Http1).then(|| Arc::new(drain.clone())),
    };
    let gone = stream.gone();
    let ended = match version {
        Version::Http1 => {
            let stream = TokioIo::new(stream);
            let timer = HeadTimer::new();
            let mut too_slow = pin!(Seldom::new(timer.clone().expired(options.header_timeout)));
            let mut connection = pin!(options.http1(timer).serve_connection(stream, service).with_upgrades());
            let finished = async {
                tokio::select! {
                    biased;
                    ended = connection.as_mut() => return ended,
                    () = Seldom::new(drain.started()) => {}
                }
                match timeout(LAST_REQUEST, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            };
            tokio::select! {
                biased;
                ended = finished => ended,
                () = too_slow.as_mut() => {
                    tracing::debug!("a client took too long for a request's head");
                    Ok(())
                }
            }
        }
        Version::Http2 => {
            // Few speak it to a neighbour, and what serves it is larger still.
            let stream: TokioIo<Boxed> = TokioIo::new(Box::new(stream));
            let mut connection = pin!(options.http2().serve_connection(stream, service));
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = Seldom::new(drain.started()) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }
    };
    if let Err(error) = ended {
        // Clients hang up all the time; hyper's words hold nothing of what was sent.
        tracing::debug!(%error, "a connection ended early");
    }
    // An upgraded one lives on with whoever has taken it over.
    let _ = gone.await;
}

/// What comes of it, unless it is not there [in time](LAST_REQUEST) once the drain has started.
async fn before_the_end<T>(mut coming: impl Future<Output = Option<T>> + Unpin, drain: &mut Drain) -> Option<T> {
    tokio::select! {
        came = &mut coming => came,
        () = drain.started() => timeout(LAST_REQUEST, coming).await.ok().flatten(),
    }
}
