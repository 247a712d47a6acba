//! A caller's body that is read on for a while when nobody wants it any more.
//!
//! An answer may be given before the body was read: a refusal, or an upstream's own early answer. Closing the
//! connection then would reset it under a caller that still writes, and the answer could be lost on the way
//! (RFC 9112 §9.6); reading what little is left keeps it, and the connection, alive.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Version, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

/// The most that is read for nothing, in bytes: a larger body ends with its connection.
const MOST: usize = 256 * 1024;
/// The longest that is read for nothing.
const LONGEST: Duration = Duration::from_secs(2);

/// A body that is read on for a while when it is dropped before its end.
pub(super) struct Linger<B: Body + Send + Unpin + 'static>
where
    B::Data: Send,
{
    body: Option<B>,
    lingers: bool,
}

impl<B: Body + Send + Unpin + 'static> Linger<B>
where
    B::Data: Send,
{
    /// The same request. An HTTP/2 stream can be given up alone; a caller that waits for `100 Continue` has not begun.
    pub(super) fn over(request: Request<B>) -> Request<Self> {
        let lingers = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        request.map(|body| Self {
            body: Some(body),
            lingers,
        })
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
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        // A body that has ended or failed has nothing left to read.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        frame
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

    async fn read_after_drop(request: http::request::Builder, count: usize) -> usize {
        let (sender, read) = mpsc::channel();
        let body = Pieces {
            left: count,
            read: sender,
        };
        drop(Linger::over(request.body(body).unwrap()));
        // The sender goes with the body: the task has ended then.
        tokio::task::spawn_blocking(move || read.iter().count()).await.unwrap()
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
