//! The pooled client of proxied requests.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// How often in each `response_timeout` an upload is looked at: a stalled one is noticed at most a quarter late, and
/// no frame of the others has to wake anybody.
const LOOKS: u32 = 4;

/// A pooled client of one upstream. Clones share the pool.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Sending>,
    connect_timeout: Duration,
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
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
        })
    }

    /// Sends a request with an absolute URI and returns once the answer's head is there.
    ///
    /// A request that never left because its pooled connection had just closed is sent on another one; nothing
    /// else is ever sent twice. Redirects are not followed. The time limit runs from the end of the request's
    /// body, so a long upload is no late answer; an upstream that takes nothing of the body for as long is one.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        let host = host_of(request.uri());
        let is_plain = request.uri().scheme() != Some(&Scheme::HTTPS);
        let request = framed(request);
        let (ended, end) = oneshot::channel::<Infallible>();
        let (head, body) = request.into_parts();
        let upload = Arc::new(Upload::of(body));
        let sending = Sending {
            upload: upload.clone(),
            _ended: ended,
        };
        let request = Request::from_parts(head, sending);
        tokio::select! {
            biased;
            answer = self.pool.request(request) => answer.map_err(|error| failure(&host, is_plain, &error)),
            reason = self.expiry(end, &upload) => {
                upload.let_go();
                Err(UpstreamError::Timeout { host, reason })
            }
        }
    }

    /// Returns why, once an answer is too late.
    async fn expiry(&self, end: oneshot::Receiver<Infallible>, upload: &Upload) -> String {
        let limit = self.response_timeout;
        tokio::select! {
            biased;
            // Nothing is ever sent through the channel: the body's end drops its other half.
            _ = end => {
                tokio::time::sleep(limit).await;
                format!("none came within {} ms (response_timeout)", limit.as_millis())
            }
            () = upload.stalled(self.connect_timeout, limit) => format!(
                "it took nothing of the request's body for {} ms (response_timeout)",
                limit.as_millis()
            ),
        }
    }
}

/// A request's body, and how far it has got.
struct Upload(Mutex<Progress>);

struct Progress {
    /// `None` once it has been sent or given up.
    body: Option<Body>,
    /// How often the upstream's connection has asked for a frame.
    asked: usize,
    /// Whether it asked for one that the caller hasn't sent yet: it may do so for as long as it likes.
    awaits_caller: bool,
}

impl Upload {
    fn of(body: Body) -> Self {
        Self(Mutex::new(Progress {
            body: Some(body),
            asked: 0,
            awaits_caller: false,
        }))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while it is held but the caller's body, and then its connection is gone too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the body, whoever still holds this: a connection that is stuck may do so for long.
    fn let_go(&self) {
        let body = self.progress().body.take();
        drop(body);
    }

    /// Returns once nobody has asked for a frame for `limit`; the first one is asked for once there is a connection.
    async fn stalled(&self, connect_timeout: Duration, limit: Duration) {
        let step = (limit / LOOKS).max(Duration::from_millis(1));
        let mut quiet = Duration::ZERO;
        let mut seen = 0;
        loop {
            tokio::time::sleep(step).await;
            let (asked, awaits_caller) = {
                let progress = self.progress();
                (progress.asked, progress.awaits_caller)
            };
            if asked != seen || awaits_caller {
                (seen, quiet) = (asked, Duration::ZERO);
                continue;
            }
            quiet += step;
            let patience = if asked == 0 { connect_timeout + limit } else { limit };
            if quiet >= patience {
                return;
            }
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

/// A request's body as its connection reads it; tells that it has been sent by being dropped.
struct Sending {
    upload: Arc<Upload>,
    _ended: oneshot::Sender<Infallible>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.upload.let_go();
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut progress = self.upload.progress();
        let Some(body) = &mut progress.body else {
            // Not an end: what has been sent would pass for the whole.
            return Poll::Ready(Some(Err("the request was given up".into())));
        };
        let frame = Pin::new(body).poll_frame(context);
        progress.awaits_caller = frame.is_pending();
        progress.asked += 1;
        frame
    }

    fn is_end_stream(&self) -> bool {
        let progress = self.upload.progress();
        progress.body.as_ref().is_some_and(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let progress = self.upload.progress();
        progress
            .body
            .as_ref()
            .map_or_else(SizeHint::new, |body| body.size_hint())
    }
}
