//! Bodies that come as they should, and bodies that don't.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

/// How long the start of a body that breaks off has to leave this machine.
const BREAK_OFF: Duration = Duration::from_millis(30);

/// Bulk data is made in pieces of this many bytes.
const PIECE: usize = 64 * 1024;

static ZEROS: [u8; PIECE] = [0; PIECE];

/// The body of an answer.
pub(super) enum Outgoing {
    /// All at once.
    Whole(Option<Bytes>),
    /// One byte at a time.
    Drip(Bytes, Interval),
    /// The first half at once, the second after a pause.
    Halves(Option<Bytes>, Option<Bytes>, Pin<Box<Sleep>>),
    /// A start, and then the connection breaks.
    Cut(Option<Bytes>, Pin<Box<Sleep>>),
    /// So many zeros.
    Bulk(u64),
}

impl Outgoing {
    pub(super) fn drip(bytes: Bytes, every: Duration) -> Self {
        // An interval of nothing would panic.
        let mut ticks = interval(every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self::Drip(bytes, ticks)
    }

    pub(super) fn halves(mut bytes: Bytes, pause: Duration) -> Self {
        let first = bytes.split_to(bytes.len() / 2);
        Self::Halves(Some(first), Some(bytes), Box::pin(sleep(pause)))
    }

    pub(super) fn cut(start: Bytes) -> Self {
        Self::Cut(Some(start), Box::pin(sleep(BREAK_OFF)))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match &mut *self {
            Self::Whole(bytes) => bytes.take(),
            Self::Drip(left, _) if left.is_empty() => None,
            Self::Drip(left, ticks) => {
                ready!(ticks.poll_tick(context));
                Some(left.split_to(1))
            }
            Self::Halves(first, second, pause) => match first.take() {
                Some(first) => Some(first),
                None if second.is_none() => None,
                None => {
                    ready!(pause.as_mut().poll(context));
                    second.take()
                }
            },
            Self::Cut(start, wait) => match start.take() {
                Some(start) => Some(start),
                None => {
                    ready!(wait.as_mut().poll(context));
                    return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
                }
            },
            Self::Bulk(0) => None,
            Self::Bulk(left) => {
                let piece = usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE));
                *left -= piece as u64;
                Some(Bytes::from_static(&ZEROS[..piece]))
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Drip(left, _) => left.is_empty(),
            Self::Halves(_, second, _) => second.is_none(),
            Self::Cut(..) => false,
            Self::Bulk(left) => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Drip(left, _) => SizeHint::with_exact(left.len() as u64),
            Self::Halves(first, second, _) => {
                let length = |half: &Option<Bytes>| half.as_ref().map_or(0, |half| half.len() as u64);
                SizeHint::with_exact(length(first) + length(second))
            }
            Self::Bulk(left) => SizeHint::with_exact(*left),
            // Its answer promises more than this will give.
            Self::Cut(..) => SizeHint::default(),
        }
    }
}
