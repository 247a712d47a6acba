//! A body whose first pieces are held.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::upstream::{Body, BoxError};

/// A frame that can be sent twice.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

impl Piece {
    /// `None` is a frame of a kind that HTTP doesn't have yet.
    pub(super) fn of(frame: Frame<Bytes>) -> Option<Self> {
        match frame.into_data() {
            Ok(data) => Some(Self::Data(data)),
            Err(frame) => frame.into_trailers().ok().map(Self::Trailers),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            Self::Trailers(_) => 0,
        }
    }

    pub(super) fn into_frame(self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data),
            Self::Trailers(trailers) => Frame::trailers(trailers),
        }
    }
}

/// Held pieces, then the rest of the body that they were taken from.
#[derive(Default)]
pub(super) struct Pieces {
    pub(super) held: VecDeque<Piece>,
    pub(super) rest: Option<Body>,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(piece) = self.held.pop_front() {
            return Poll::Ready(Some(Ok(piece.into_frame())));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self
            .rest
            .as_ref()
            .map_or(SizeHint::with_exact(0), |rest| rest.size_hint());
        add(rest, self.held.iter().map(Piece::len).sum())
    }
}

/// The size of a body with this much before it.
pub(super) fn add(rest: SizeHint, before: usize) -> SizeHint {
    let before = before as u64;
    let mut size = SizeHint::new();
    // Upper first: a lower bound may not pass it.
    if let Some(upper) = rest.upper() {
        size.set_upper(upper.saturating_add(before));
    }
    size.set_lower(rest.lower().saturating_add(before));
    size
}
