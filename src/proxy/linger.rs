//! A caller's body: given up where it stands still, and read on for a while when nobody wants it any more.
//!
//! An answer may be given before the body was read: a refusal, or an upstream's own early answer. Closing the
//! connection then would reset it under a caller that still writes, and the answer could be lost on the way
//! (RFC 9112 §9.6); reading what little is left keeps it, and the connection, alive.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Version, header::EXPECT, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Sleep, sleep};

use crate::upstream::BoxError;

/// The most that is read for nothing, in bytes: a larger body ends with its connection.
const MOST: usize = 256 * 1024;
/// The longest that is read for nothing.
const LONGEST: Duration = Duration::from_secs(2);
/// How long a body may stand still that somebody waits for. A stream of HTTP/2 may be silent for hours, such as one that
/// gRPC keeps open both ways; its connection is pinged.
const STALL: Duration = Duration::from_secs(60);

/// A body that is read on for a while when it is dropped before its end.
pub(super) struct Linger<B: Body + Send + Unpin + 'static>
where
    B::Data: Send,
{
    body: Option<B>,
    lingers: bool,
    is_http2: bool,
    /// Runs while the body stands still.
    stall: Option<Pin<Box<Sleep>>>,
    /// Whether something of it came since then: putting the timer off for each frame would cost more than looking at
    /// its end.
    moved: bool,
}

impl<B: Body + Send + Unpin + 'static> Linger<B>
where
    B::Data: Send,
{
    /// The body of this request. An HTTP/2 stream can be given up alone; a caller that waits for `100 Continue` has not
    /// begun.
    pub(super) fn over(body: B, head: &Parts) -> Self {
        let is_http2 = head.version >= Version::HTTP_2;
        Self {
            body: Some(body),
            lingers: !is_http2 && !head.headers.contains_key(EXPECT),
            is_http2,
            stall: None,
            moved: false,
        }
    }
}

impl<B: Body + Send + Unpin + 'static> Linger<B>
where
    B::Data: Send,
{
    /// Ready once nothing has come for [`STALL`]; noticed at twice that at the latest.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let begun = || {
                self.moved = false;
                Box::pin(sleep(STALL))
            };
            ready!(self.stall.get_or_insert_with(begun).as_mut().poll(cx));
            self.stall = None;
            if !self.moved {
                return Poll::Ready(());
            }
        }
    }
}

impl<B: Body + Send + Unpin + 'static> Drop for Linger<B>
where
    B::Data: Send,
{
    fn drop(&mut self) {
        let Some(mut body) = self.body.take().filter(|body| self.lingers && !body.is_end_stream()) else {
            return;
        };
        // Outside of a runtime nothing is left to be read for.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(tokio::time::timeout(LONGEST, async move {
            let mut left = MOST;
            while let Some(Ok(frame)) = body.frame().await {
                let length = frame.data_ref().map_or(0, Buf::remaining);
                let Some(less) = left.checked_sub(length) else { return };
                left = less;
            }
        }));
    }
}

impl<B> Body for Linger<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            if !this.is_http2 {
                ready!(this.poll_stalled(cx));
                this.body = None;
                let seconds = STALL.as_secs();
                return Poll::Ready(Some(Err(format!("nothing of it came for {seconds} s").into())));
            }
            return Poll::Pending;
        };
        this.moved = true;
        // hyper lets a trailer section begin with a bare LF, and then takes what follows, up to an empty line, for the
        // rest of it; it shows in this alone.
        let has_no_end = |frame: &Frame<Bytes>| frame.trailers_ref().is_some_and(http::HeaderMap::is_empty);
        if !this.is_http2
            && let Some(Ok(frame)) = &frame
            && has_no_end(frame)
        {
            this.body = None;
            return Poll::Ready(Some(Err("its end is no CRLF".into())));
        }
        // A body that has ended or failed has nothing left to read.
        if matches!(frame, None | Some(Err(_))) {
            this.body = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use http::Request;

    use super::*;

    /// A body of so many pieces of 100 KiB, which tells of each that is read.
    struct Pieces {
        left: usize,
        read: mpsc::Sender<()>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let Some(left) = self.left.checked_sub(1) else {
                return Poll::Ready(None);
            };
            self.left = left;
            self.read.send(()).unwrap();
            Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; 100 * 1024])))))
        }
    }

    fn over<B: Body<Data = Bytes> + Send + Unpin>(request: Request<B>) -> Linger<B> {
        let (head, body) = request.into_parts();
        Linger::over(body, &head)
    }

    async fn read_after_drop(request: http::request::Builder, count: usize) -> usize {
        let (sender, read) = mpsc::channel();
        let body = Pieces {
            left: count,
            read: sender,
        };
        drop(over(request.body(body).unwrap()));
        // The sender goes with the body: the task has ended then.
        tokio::task::spawn_blocking(move || read.iter().count()).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_stands_still_is_given_up() {
        struct Silent;
        impl Body for Silent {
            type Data = Bytes;
            type Error = std::convert::Infallible;

            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
                Poll::Pending
            }
        }
        let mut body = over(Request::post("/").body(Silent).unwrap());
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "nothing of it came for 60 s");
        let request = Request::post("/").version(Version::HTTP_2).body(Silent).unwrap();
        let mut body = over(request);
        let waited = tokio::time::timeout(STALL * 10, body.frame()).await;
        assert!(waited.is_err(), "a stream of HTTP/2 may be silent");
    }

    #[tokio::test]
    async fn what_little_is_left_is_read() {
        assert_eq!(read_after_drop(Request::post("/"), 2).await, 2);
    }

    #[tokio::test]
    async fn what_is_more_is_left() {
        assert_eq!(read_after_drop(Request::post("/"), 100).await, 3);
    }

    #[tokio::test]
    async fn nothing_is_read_of_what_has_not_begun_or_can_be_given_up() {
        assert_eq!(
            read_after_drop(Request::post("/").header(EXPECT, "100-continue"), 2).await,
            0
        );
        assert_eq!(read_after_drop(Request::post("/").version(Version::HTTP_2), 2).await, 0);
    }
}
