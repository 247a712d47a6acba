//! The pooled client of proxied requests.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Version, header, uri::Scheme};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::sync::oneshot;

use super::{
    Body, BoxError, Settings, SettingsError, UpstreamError,
    connect::{Connector, host_of},
};

/// How long an unused connection is kept. Servers commonly close theirs after 60 to 75 seconds; one that is
/// reused while the server closes it costs a request.
const IDLE: Duration = Duration::from_secs(60);

/// How many unused connections are kept for a host: more than an application has threads.
const MOST_IDLE: usize = 256;

/// After how much silence an HTTP/2 connection that carries requests is pinged, and how long the answer may take:
/// a dead one otherwise swallows every request until the kernel notices.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// A pooled client of one upstream. Clones share the pool.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Sending>,
    response_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these settings; connects to nothing yet.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MOST_IDLE)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .build(Connector::new(settings)?);
        Ok(Self {
            pool,
            response_timeout: settings.response_timeout,
        })
    }

    /// Sends a request with an absolute URI and returns once the answer's head is there.
    ///
    /// A request that never left because its pooled connection had just closed is sent on another one; nothing
    /// else is ever sent twice. Redirects are not followed. The time limit runs from the end of the request's
    /// body, so a long upload is no late answer.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        let host = host_of(request.uri());
        let is_plain = request.uri().scheme() != Some(&Scheme::HTTPS);
        let request = framed(request);
        let (ended, end) = oneshot::channel::<Infallible>();
        let request = request.map(|body| Sending { body, _ended: ended });
        let expiry = async {
            // Nothing is ever sent through the channel: the body's end drops its other half.
            let _ = end.await;
            tokio::time::sleep(self.response_timeout).await;
        };
        tokio::select! {
            biased;
            answer = self.pool.request(request) => answer.map_err(|error| failure(&host, is_plain, &error)),
            () = expiry => Err(UpstreamError::Timeout {
                reason: format!("none came within {} ms (response_timeout)", self.response_timeout.as_millis()),
                host,
            }),
        }
    }
}

/// Our own hop, so our own version and framing (RFC 9110 §7.6.1): hyper would drop the body of a GET whose length
/// it doesn't know, and of any such request in HTTP/1.0.
fn framed(mut request: Request<Body>) -> Request<Body> {
    *request.version_mut() = Version::HTTP_11;
    let has_unknown_length = !request.body().is_end_stream()
        && request.body().size_hint().exact().is_none()
        && !request.headers().contains_key(header::CONTENT_LENGTH);
    if has_unknown_length && matches!(*request.method(), Method::GET | Method::HEAD) {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(header::TRANSFER_ENCODING, chunked);
    }
    request
}

fn failure(host: &str, is_plain: bool, error: &legacy::Error) -> UpstreamError {
    use std::error::Error as _;
    match error.source().and_then(|source| source.downcast_ref::<UpstreamError>()) {
        Some(connecting) => connecting.clone(),
        None => match error.source() {
            Some(source) => UpstreamError::of_request(host, is_plain, source),
            None => UpstreamError::of_request(host, is_plain, error),
        },
    }
}

/// A request's body that tells when it has been sent: by being dropped.
struct Sending {
    body: Body,
    _ended: oneshot::Sender<Infallible>,
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
