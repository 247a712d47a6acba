//! The client of proxied requests.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderValue, Method, Request, Response, Uri, Version, header, uri::Scheme};
use http_body::Body as _;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use tokio::sync::Mutex;

use crate::metrics::Usage;

use super::{
    Body, Settings, SettingsError, UpstreamError,
    connect::{Connector, host_of, speaks_http2},
    line::{self, Line, ended},
    place::Place,
    pool::{Lent, Pool},
    slots::Slots,
    upload::Sending,
};

/// After how much silence an HTTP/2 connection that carries requests is pinged, and how long the answer may take:
/// a dead one otherwise swallows every request until the kernel notices.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// The most that is held of an answer's head, and of a body that is read more slowly than it comes; hyper's own bound is
/// three times as much, for each of thousands of slow readers.
const MOST_BUFFERED: usize = 128 * 1024;

/// A client of one upstream, which keeps its connections. Clones share them.
#[derive(Clone)]
pub struct Client(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) connector: Connector,
    /// Scheme and authority, and the path `/`.
    pub(super) origin: Uri,
    /// What Host says.
    authority: HeaderValue,
    /// Host, and port where it is not the scheme's own: for errors.
    pub(super) host: String,
    pub(super) pool: Pool,
    /// Whether the last connection spoke it.
    speaks_http2: AtomicBool,
    /// Held while a connection is made to an upstream that speaks HTTP/2, of which one is enough.
    opening: Mutex<()>,
    pub(super) slots: Slots,
    pub(super) response_timeout: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.host)
    }
}

impl Usage for Client {
    fn idle_connections(&self) -> usize {
        self.0.pool.idle()
    }

    fn under_way(&self) -> usize {
        self.0.slots.taken().0
    }

    fn waiting(&self) -> usize {
        self.0.slots.taken().1
    }
}

impl Client {
    /// A client of this URL's origin with these settings; connects to nothing yet.
    pub fn new(settings: &Settings, url: &Uri) -> Result<Self, SettingsError> {
        let authority = url.authority().map_or("", |authority| authority.as_str());
        let unusable = || SettingsError::Origin(host_of(url));
        Ok(Self(Arc::new(Shared {
            connector: Connector::new(settings)?,
            origin: url.clone(),
            authority: HeaderValue::from_str(authority).map_err(|_| unusable())?,
            host: host_of(url),
            pool: Pool::default(),
            speaks_http2: AtomicBool::new(false),
            opening: Mutex::new(()),
            slots: Slots::new(&settings.room),
            response_timeout: settings.response_timeout,
        })))
    }

    /// What Host says to it.
    pub fn host(&self) -> &HeaderValue {
        &self.0.authority
    }

    /// Sends a request, whose scheme and authority don't count, and returns once the answer's head is there.
    ///
    /// A request that never left because its connection had just closed is sent on another one; nothing else is ever
    /// sent twice. Where as many are under way as may be, it waits in line. Redirects are not followed. The time limit
    /// runs from the end of the request's body, so a long upload is no late answer; an upstream that takes nothing of the
    /// body for as long is one.
    ///
    /// Not an `async fn`: a request that can be sent at once is given to its connection here, and what is held while it
    /// waits is small.
    pub fn send(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Body>, UpstreamError>> + Send + use<> {
        let begun = self.begin(request).map_err(|request| {
            let client = self.clone();
            // In a box: few requests come to this, and it is large.
            Box::pin(async move { client.send_over(request, true, None).await })
        });
        async move {
            let (mut line, place, answer) = match begun {
                Ok(begun) => begun,
                Err(sent) => return sent.await,
            };
            let shared = &place.client().0;
            let again = match line.answer(answer).await {
                Some(Ok(answer)) => return place.answered(Lent::Http1(line), answer),
                Some(Err(mut failure)) => match failure.take_message() {
                    Some(unsent) => {
                        drop(line);
                        let request = unsent.map(|_| Body::default());
                        let client = place.client().clone();
                        // It has its place: who comes later doesn't come before it.
                        Box::pin(async move { client.send_over(request, true, Some(place)).await })
                    }
                    None => return Err(shared.failure(true, failure.error())),
                },
                None => {
                    line.abandon();
                    return Err(shared.expired(true));
                }
            };
            again.await
        }
    }

    /// The same on a new connection, whatever the pool has: what made one of its connections end may have ended more.
    pub async fn send_anew(&self, request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        self.send_over(request, false, None).await
    }

    async fn send_over(
        &self,
        request: Request<Body>,
        may_reuse: bool,
        place: Option<Place>,
    ) -> Result<Response<Body>, UpstreamError> {
        let place = match place.or_else(|| self.place_at_once()) {
            Some(place) => place,
            None => {
                let permit = Box::pin(self.0.slots.in_line(&self.0.host)).await?;
                Place::new(self, permit)
            }
        };
        if request.headers().contains_key(header::UPGRADE) {
            return Box::pin(self.0.switch(request)).await;
        }
        let (head, body) = framed(request).into_parts();
        let (sending, upload) = Sending::of(body);
        let mut request = Request::from_parts(head, sending);
        loop {
            let pooled = if may_reuse { self.0.pool.take() } else { None };
            let (mut lent, was_used) = match pooled {
                Some(lent) => (lent, true),
                // In a box: few requests come to this, and it is large.
                None => Box::pin(self.0.connect()).await?,
            };
            self.0.address(&mut request, matches!(lent, Lent::Http2(_)));
            let limit = self.0.response_timeout;
            let sent = match &upload {
                None => lent.send_within(request, limit).await.ok_or(true),
                Some(upload) => tokio::select! {
                    biased;
                    sent = lent.send(request) => Ok(sent),
                    was_sent = upload.expired(limit) => Err(was_sent),
                },
            };
            let sent = match sent {
                Ok(sent) => sent,
                Err(was_sent) => {
                    if let Some(upload) = upload {
                        upload.let_go();
                    }
                    lent.abandon();
                    return Err(self.0.expired(was_sent));
                }
            };
            match sent {
                Ok(answer) => return place.answered(lent, answer),
                Err(mut failure) => match failure.take_message().filter(|_| was_used) {
                    Some(unsent) => request = unsent,
                    None => {
                        let broken = upload.and_then(|upload| upload.broken());
                        return Err(self.0.failure_of(broken, was_used, failure.error()));
                    }
                },
            }
        }
    }

    /// A place, if there is a free one and nobody waits for it.
    fn place_at_once(&self) -> Option<Place> {
        Some(Place::new(self, self.0.slots.at_once()?))
    }

    /// Gives a request without a body to a connection that is there, if its turn is now; else it comes back.
    #[expect(clippy::result_large_err, reason = "it is the request, which goes on")]
    fn begin(&self, request: Request<Body>) -> Result<(Box<Line>, Place, line::ToCome), Request<Body>> {
        if !request.body().is_end_stream() || request.headers().contains_key(header::UPGRADE) {
            return Err(request);
        }
        let Some(place) = self.place_at_once() else {
            return Err(request);
        };
        let Some(mut line) = self.0.pool.take_http1() else {
            return Err(request);
        };
        let mut request = request.map(|_| Sending::Nothing);
        *request.version_mut() = Version::HTTP_11;
        self.0.address(&mut request, false);
        let answer = line.begin(request, self.0.response_timeout);
        Ok((line, place, answer))
    }
}

impl Shared {
    fn is_plain(&self) -> bool {
        self.origin.scheme() != Some(&Scheme::HTTPS)
    }

    /// What breaks a request in its middle breaks its connection too: the cause is told, not that.
    fn failure_of(&self, broken_body: Option<String>, was_used: bool, error: &hyper::Error) -> UpstreamError {
        let Some(reason) = broken_body else {
            return self.failure(was_used, error);
        };
        UpstreamError::Body {
            host: self.host.clone(),
            reason,
        }
    }

    pub(super) fn failure(&self, was_used: bool, error: &hyper::Error) -> UpstreamError {
        UpstreamError::of_request(&self.host, self.is_plain(), was_used, error)
    }

    /// A new connection, or the one that somebody else has made meanwhile; and whether it was used before.
    async fn connect(&self) -> Result<(Lent, bool), UpstreamError> {
        // HTTP/1.1 wants one connection a request, and all at once.
        if !self.speaks_http2.load(Ordering::Relaxed) {
            return self.open().await;
        }
        let _opening = self.opening.lock().await;
        match self.pool.take() {
            Some(lent) => Ok((lent, true)),
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<(Lent, bool), UpstreamError> {
        let stream = self.connector.clone().connect(self.origin.clone()).await?;
        let failed = |error: hyper::Error| self.failure(false, &error);
        let is_http2 = speaks_http2(&stream);
        self.speaks_http2.store(is_http2, Ordering::Relaxed);
        let lent = if is_http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1);
            let (sender, connection) = builder.handshake(stream).await.map_err(failed)?;
            tokio::spawn(async move { ended(connection.await) });
            self.pool.share(sender.clone());
            Lent::Http2(sender)
        } else {
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(MOST_BUFFERED)
                // TLS copies what it sends anyway.
                .writev(self.is_plain())
                .handshake(stream)
                .await
                .map_err(failed)?;
            Lent::Http1(Box::new(Line::new(sender, connection, self.response_timeout)))
        };
        Ok((lent, false))
    }

    /// Names the upstream as the connection's version of HTTP wants it (RFC 9112 §3.2.1, RFC 9113 §8.3.1).
    pub(super) fn address(&self, request: &mut Request<Sending>, is_http2: bool) {
        let (scheme, authority) = match is_http2 {
            false => {
                // Nearly always it is there.
                if !request.headers().contains_key(header::HOST) {
                    request.headers_mut().insert(header::HOST, self.authority.clone());
                }
                (None, None)
            }
            true => {
                request.headers_mut().remove(header::HOST);
                (self.origin.scheme().cloned(), self.origin.authority().cloned())
            }
        };
        let uri = request.uri();
        if uri.scheme() == scheme.as_ref() && uri.authority() == authority.as_ref() {
            return;
        }
        let mut target = uri.clone().into_parts();
        (target.scheme, target.authority) = (scheme, authority);
        // What has a path may have both or neither.
        if let Ok(target) = Uri::from_parts(target) {
            *request.uri_mut() = target;
        }
    }

    pub(super) fn expired(&self, was_sent: bool) -> UpstreamError {
        let ms = self.response_timeout.as_millis();
        UpstreamError::Timeout {
            host: self.host.clone(),
            reason: match was_sent {
                true => format!("none came within {ms} ms (response_timeout)"),
                false => format!("it took nothing of the request's body for {ms} ms (response_timeout)"),
            },
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
