//! A request's body that may not be larger than this.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::upstream::{Body, BoxError};

/// Whether a body turned out to be too large.
#[derive(Debug, Clone, Default)]
pub(super) struct Oversize(Arc<AtomicBool>);

impl Oversize {
    pub(super) fn is_met(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that fails where it becomes too large: what the upstream has of it by then is visibly cut short.
pub(super) struct Bounded {
    body: Body,
    left: u64,
    oversize: Oversize,
}

impl Bounded {
    pub(super) fn new(body: Body, limit: u64, oversize: Oversize) -> Self {
        Self {
            body,
            left: limit,
            oversize,
        }
    }
}

impl http_body::Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => {
                    self.oversize.0.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err("the request's body is too large".into())));
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
