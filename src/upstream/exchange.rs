//! One token request on a connection of its own.
//!
//! The spend protocol (docs/protocol.md) is: connect and finish TLS; claim; check; write the request; read. So
//! [`Exchange::open`] sends nothing of the request, and [`Connection::send`] tells a request that provably never
//! left from one whose outcome nobody knows. Nothing is ever sent twice.

use std::{fmt, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::JoinHandle;

use super::{
    Settings, SettingsError, UpstreamError,
    connect::{Connector, host_of, speaks_http2},
    error::{chain, refuses_handshake, tls_error},
};
use crate::credential::reply::{Answer, Squeeze};

/// The most of an answer that is read, in bytes, whatever little of it is held.
const MOST_READ: usize = 256 * 1024 * 1024;

/// Makes token requests. Clones are cheap.
#[derive(Clone)]
pub struct Exchange(Connector);

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// A connection that is ready for exactly one request; dropping it closes it.
pub struct Connection {
    host: String,
    is_plain: bool,
    sender: Sender,
    driver: Driver,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// The task that moves a connection's bytes; it ends with the exchange.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What became of a request.
#[derive(Debug)]
pub enum Sent {
    /// An answer came, whole or cut.
    Answered(Reply),
    /// It may have arrived, and no answer came: in doubt.
    NoAnswer(UpstreamError),
    /// It provably was not read by anybody.
    NeverLeft(UpstreamError),
}

/// An answer. Its body may hold tokens, so Debug shows its length only.
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, as much as came and fits.
    pub body: Bytes,
    /// Whether the body was cut off: by the connection, the deadline or the limit on its size.
    pub cut: bool,
}

impl Reply {
    /// For [`crate::credential::reply::read`].
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            status: self.status,
            headers: &self.headers,
            body: &self.body,
            cut: self.cut,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("length", &self.body.len())
            .field("cut", &self.cut)
            .finish_non_exhaustive()
    }
}

impl Exchange {
    /// Token requests with these settings; connects to nothing yet.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Connector::new(settings).map(Self)
    }

    /// Connects to the URI's host and finishes TLS. Nothing of a request has left when this fails.
    pub async fn open(&self, uri: &Uri) -> Result<Connection, UpstreamError> {
        let host = host_of(uri);
        let is_plain = uri.scheme() != Some(&Scheme::HTTPS);
        let stream = self.0.clone().connect(uri.clone()).await?;
        let failed = |error: hyper::Error| UpstreamError::of_request(&host, is_plain, false, &error);
        let (sender, driver) = if speaks_http2(&stream) {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .handshake(stream)
                .await
                .map_err(failed)?;
            // Its errors reach the one request that waits for an answer; nobody else needs them.
            let driver = tokio::spawn(async { drop(connection.await) });
            (Sender::Http2(sender), driver)
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            let driver = tokio::spawn(async { drop(connection.await) });
            (Sender::Http1(sender), driver)
        };
        Ok(Connection {
            host,
            is_plain,
            sender,
            driver: Driver(driver),
        })
    }
}

impl Connection {
    /// Sends the request and reads its answer: until `deadline`, and holds at most `limit` bytes of its body, squeezed.
    ///
    /// Must run to its end once it was polled: dropping it leaves the outcome in doubt.
    pub async fn send(self, request: Request<Bytes>, deadline: Duration, limit: usize) -> Sent {
        let Self {
            host,
            is_plain,
            mut sender,
            driver,
        } = self;
        let mut expiry = pin!(tokio::time::sleep(deadline));
        let answer = tokio::select! {
            biased;
            answer = sender.send(request) => answer,
            () = &mut expiry => {
                return Sent::NoAnswer(UpstreamError::Timeout {
                    reason: format!("none came within {} ms", deadline.as_millis()),
                    host,
                });
            }
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return failure(&host, is_plain, error),
        };
        let (head, mut incoming) = answer.into_parts();
        let mut body = Squeeze::new(limit);
        let mut read = 0;
        let cut = loop {
            let frame = tokio::select! {
                biased;
                frame = incoming.frame() => frame,
                () = &mut expiry => break true,
            };
            match frame {
                None => break false,
                Some(Err(_)) => break true,
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    read += data.len();
                    if !body.push(&data) || read > MOST_READ {
                        break true;
                    }
                }
            }
        };
        drop(driver);
        Sent::Answered(Reply {
            status: head.status,
            headers: head.headers,
            body: body.into_held().into(),
            cut,
        })
    }
}

#[cfg(test)]
impl Connection {
    /// Returns once the other side has ended the connection, and this one knows.
    pub(super) async fn closed(&self) {
        while !self.driver.0.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

impl Sender {
    async fn send(
        &mut self,
        request: Request<Bytes>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let mut request = request.map(Full::new);
        match self {
            Self::Http1(sender) => {
                to_origin_form(&mut request);
                sender.try_send_request(request).await
            }
            // HTTP/2 sends the URI's authority in place of Host (RFC 9113 §8.3.1).
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// An HTTP/1.1 request names its host in Host and only the rest in its first line (RFC 9112 §3.2.1).
fn to_origin_form<B>(request: &mut Request<B>) {
    if let Ok(host) = HeaderValue::from_str(&host_of(request.uri())) {
        request.headers_mut().insert(header::HOST, host);
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = request
        .uri()
        .path_and_query()
        .cloned()
        .or_else(|| Some(http::uri::PathAndQuery::from_static("/")));
    if let Ok(target) = Uri::from_parts(parts) {
        *request.uri_mut() = target;
    }
}

fn failure<T>(host: &str, is_plain: bool, mut error: TrySendError<T>) -> Sent {
    // hyper hands a request back only when none of it was written.
    let is_unsent = error.take_message().is_some();
    let error = error.into_error();
    if is_unsent {
        return Sent::NeverLeft(UpstreamError::Unreachable {
            host: host.to_owned(),
            reason: format!(
                "it closed the connection before the request was sent ({})",
                chain(&error)
            ),
        });
    }
    let is_refused = tls_error(&error).is_some_and(refuses_handshake);
    let error = UpstreamError::of_request(host, is_plain, false, &error);
    if is_refused {
        Sent::NeverLeft(error)
    } else {
        Sent::NoAnswer(error)
    }
}
