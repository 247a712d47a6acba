use super::*;

use crate::proxy::fixtures::streamed;

async fn text(body: Body) -> Bytes {
    body.collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_small_body_that_was_sent_can_be_sent_again() {
    let (sender, body) = streamed();
    let (first, keeper) = keep(body);
    sender.send(Ok("ab".into())).unwrap();
    sender.send(Ok("cd".into())).unwrap();
    drop(sender);
    assert_eq!(text(first).await, "abcd");
    assert_eq!(text(keeper.whole().await.unwrap()).await, "abcd");
}

#[tokio::test]
async fn an_early_rejection_reads_on_beside_the_upload_and_takes_nothing_from_it() {
    let (sender, body) = streamed();
    let (first, keeper) = keep(body);
    let upload = tokio::spawn(text(first));
    let keeper = tokio::spawn(async move { text(keeper.whole().await.unwrap()).await });
    for piece in ["a", "b", "c"] {
        sender.send(Ok(piece.into())).unwrap();
        // Whichever reader is woken first, the other one must get the piece too.
        tokio::task::yield_now().await;
    }
    drop(sender);
    assert_eq!(upload.await.unwrap(), "abc");
    assert_eq!(keeper.await.unwrap(), "abc");
}

#[tokio::test]
async fn a_reader_that_stops_or_goes_does_not_hold_the_other_up() {
    let (sender, body) = streamed();
    let (mut first, keeper) = keep(body);
    // The upload has asked last, and never asks again: its upstream doesn't read on.
    let asked = poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll_frame(cx))).await;
    assert!(asked.is_pending());
    let whole = tokio::spawn(async move { text(keeper.whole().await.unwrap()).await });
    tokio::task::yield_now().await;
    let asked = poll_fn(|cx| Poll::Ready(Pin::new(&mut first).poll_frame(cx))).await;
    assert!(asked.is_pending());
    sender.send(Ok("a".into())).unwrap();
    drop(sender);
    assert_eq!(whole.await.unwrap(), "a");
}

#[tokio::test]
async fn a_large_body_streams_whole_and_is_not_kept() {
    let (sender, body) = streamed();
    let (first, keeper) = keep(body);
    let Keeper::Shared(shared) = &keeper else {
        panic!("its size is unknown")
    };
    let piece = Bytes::from(vec![7; LIMIT / 2 + 1]);
    for _ in 0..8 {
        sender.send(Ok(piece.clone())).unwrap();
    }
    // Reading on notices, and leaves the upload what it has read.
    assert!(keeper.whole().await.is_none());
    drop(sender);
    let sent = text(first).await;
    assert_eq!(sent.len(), 8 * piece.len());
    assert!(
        shared.state().queue.is_empty(),
        "nothing is held of a body that can't be sent again"
    );
}

#[tokio::test]
async fn a_body_that_is_known_to_be_large_or_empty_is_not_shared() {
    let large = http_body_util::Full::new(Bytes::from(vec![0; LIMIT + 1]));
    let (_, keeper) = keep(large.map_err(|never| match never {}).boxed_unsync());
    assert!(matches!(keeper, Keeper::TooLarge) && keeper.whole().await.is_none());
    let (_, keeper) = keep(Body::default());
    assert!(matches!(keeper, Keeper::Empty));
    assert!(text(keeper.whole().await.unwrap()).await.is_empty());
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_off_for_the_upload_and_is_not_sent_again() {
    let (sender, body) = streamed();
    let (mut first, keeper) = keep(body);
    sender.send(Ok("a".into())).unwrap();
    sender.send(Err("gone".into())).unwrap();
    assert!(keeper.whole().await.is_none());
    assert_eq!(first.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
    assert_eq!(first.frame().await.unwrap().unwrap_err().to_string(), "gone");
    assert!(first.frame().await.is_none());
}

#[tokio::test]
async fn sizes_and_trailers_are_the_callers() {
    let full = http_body_util::Full::new(Bytes::from_static(b"abc"));
    let (first, _) = keep(full.map_err(|never| match never {}).boxed_unsync());
    assert_eq!(first.size_hint().exact(), Some(3), "so that content-length stays");

    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let frames = [
        Ok(Frame::data(Bytes::from_static(b"a"))),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let (first, keeper) = keep(Each(frames.into()).boxed_unsync());
    assert_eq!(first.collect().await.unwrap().trailers(), Some(&trailers));
    let again = keeper.whole().await.unwrap().collect().await.unwrap();
    assert_eq!(again.trailers(), Some(&trailers));
}

/// Frames that are all there.
struct Each(VecDeque<Result<Frame<Bytes>, BoxError>>);

impl http_body::Body for Each {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front())
    }
}
