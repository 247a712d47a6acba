//! What callers send and read.

use bearerd::upstream::{Body, BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc};

use crate::world::World;

/// The status of a raw answer.
pub(crate) fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

/// A short body.
pub(crate) fn text(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that a test sends frame by frame.
pub(crate) fn streamed() -> (mpsc::UnboundedSender<Frame<Bytes>>, Body) {
    struct Streamed(mpsc::UnboundedReceiver<Frame<Bytes>>);

    impl http_body::Body for Streamed {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.0.poll_recv(cx).map(|frame| frame.map(Ok))
        }
    }

    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Streamed(receiver).boxed_unsync())
}

/// Sends a request that the client library builds.
pub(crate) async fn send(world: &World, request: Request<Body>) -> Response<Incoming> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}
