//! Requests that are too large.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::Request;
use http_body::Frame;

use crate::{
    upstream::Upstream,
    world::{World, with_body},
};

/// A body of unknown length.
struct Pieces(VecDeque<usize>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pop_front();
        Poll::Ready(piece.map(|size| Ok(Frame::data(Bytes::from(vec![b'x'; size])))))
    }
}

fn streamed(path: &str, pieces: impl Into<VecDeque<usize>>) -> Request<Pieces> {
    Request::post(path).body(Pieces(pieces.into())).unwrap()
}

#[tokio::test]
async fn a_body_may_be_as_large_as_the_limit_says() {
    let upstream = Upstream::good().await;
    let world = World::new(upstream.address, ", limits: { request_body: 10 }").await;
    for path in ["/held", "/bare"] {
        assert_eq!(world.ask(with_body("POST", path, "0123456789")).await.status, 200);
        let large = world.ask(with_body("POST", path, "0123456789a")).await;
        assert_eq!((large.status, large.code.as_deref()), (413, Some("body_too_large")));
        assert!(large.body.contains("upstreams.api.limits.request_body"), "{large:?}");
    }
    assert_eq!(
        (upstream.requests(), upstream.connections()),
        (2, 1),
        "what is known to be too large is never begun"
    );
}

#[tokio::test]
async fn a_body_that_turns_out_to_be_too_large_is_cut_off() {
    // Takes what comes until it ends, and never answers what isn't whole.
    let upstream = Upstream::start(|mut connection| async move {
        while connection.request().await.is_some() {
            if connection.chunked().await {
                connection.say(crate::upstream::OK).await;
            }
        }
    })
    .await;
    let world = World::new(upstream.address, ", limits: { request_body: 10 }").await;
    for path in ["/held", "/bare"] {
        assert_eq!(world.ask(streamed(path, [4, 6])).await.status, 200);
        let large = world.ask(streamed(path, [4, 6, 1])).await;
        assert_eq!(
            (large.status, large.code.as_deref()),
            (413, Some("body_too_large")),
            "{path}"
        );
    }
}
