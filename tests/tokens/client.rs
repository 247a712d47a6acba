//! A plain HTTP client, as applications have them.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, request::Builder};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client as Pooled, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::watch;

/// Sends requests to one bearerd. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    http: Pooled<HttpConnector, UnsyncBoxBody<Bytes, Infallible>>,
}

/// An answer, read whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// Which of bearerd's own answers it is; empty for an API's.
    pub(crate) fn code(&self) -> &str {
        self.header("x-bearerd-error").unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Status and code, as `503 token_unavailable`; an API's own answer has the status only.
    pub(crate) fn word(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.code())
            .trim_end()
            .to_owned()
    }

    /// What of the request's body arrived at the API.
    pub(crate) fn arrived(&self) -> u64 {
        let echo: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        echo["body_bytes"].as_u64().unwrap()
    }
}

impl Client {
    pub(crate) fn of(address: std::net::SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            base: format!("http://{address}"),
            http: Pooled::builder(TokioExecutor::new()).build(connector),
        }
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> Builder {
        Request::builder().method(method).uri(format!("{}{target}", self.base))
    }

    pub(crate) async fn send<B>(&self, request: Request<B>) -> Answer
    where
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let request = request.map(BodyExt::boxed_unsync);
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(self.request("GET", target).body(Full::default()).unwrap())
            .await
    }
}

/// Holds back the last byte of bodies until it is opened. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(watch::Sender<bool>, watch::Sender<usize>)>);

impl Gate {
    /// A body of so many bytes, one at least.
    pub(crate) fn body(&self, length: usize) -> impl Body<Data = Bytes, Error = Infallible> + Send + 'static {
        let this = self.clone();
        Gated {
            first: Some(vec![b'x'; length - 1].into()),
            // Boxed and pinned, so that the body can be moved.
            last: Some(Box::pin(async move {
                let (open, waiting) = &*this.0;
                waiting.send_modify(|count| *count += 1);
                // The sender is in `this`: waiting cannot fail.
                let _ = open.subscribe().wait_for(|open| *open).await;
                Bytes::from_static(b"x")
            })),
        }
    }

    /// How many bodies wait, or have waited.
    pub(crate) fn waiting(&self) -> usize {
        *self.0.1.borrow()
    }

    pub(crate) fn open(&self) {
        self.0.0.send_replace(true);
    }
}

struct Gated {
    first: Option<Bytes>,
    last: Option<Pin<Box<dyn Future<Output = Bytes> + Send>>>,
}

impl Body for Gated {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take().filter(|first| !first.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(last) = &mut self.last else {
            return Poll::Ready(None);
        };
        let last = std::task::ready!(last.as_mut().poll(cx));
        self.last = None;
        Poll::Ready(Some(Ok(Frame::data(last))))
    }
}
