//! A request body that streams to the upstream while its beginning is kept, in case it must be sent again.
//!
//! Two readers share the caller's body: the [`Tee`] that the upstream's connection reads, and the [`Keeper`], which
//! reads on after an early rejection. Whichever asks pulls the next piece into the shared queue, so neither takes
//! anything from the other.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker, ready},
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

use super::pieces::{self, Piece, Pieces};
use crate::upstream::{Body, BoxError};

/// The most of a body that is kept, in bytes.
pub(super) const LIMIT: usize = 64 * 1024;

/// What is kept of a body.
pub(super) enum Keeper {
    /// There is nothing in it.
    Empty,
    /// It is known to be too large.
    TooLarge,
    /// Its beginning, as far as it has been read.
    Shared(Arc<Shared>),
}

/// The body to send, and what is kept of it.
pub(super) fn keep(body: Body) -> (Body, Keeper) {
    if body.is_end_stream() {
        return (body, Keeper::Empty);
    }
    if body.size_hint().lower() > LIMIT as u64 {
        return (body, Keeper::TooLarge);
    }
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            source: Some(body),
            queue: VecDeque::new(),
            sent: 0,
            size: 0,
            is_kept: true,
            failure: None,
        }),
        wakers: Arc::default(),
    });
    (Tee(shared.clone()).boxed_unsync(), Keeper::Shared(shared))
}

impl Keeper {
    /// The whole body, once the caller has sent it; `None` if it is too large or breaks off.
    pub(super) async fn whole(&self) -> Option<Body> {
        match self {
            Self::Empty => Some(Pieces::default().boxed_unsync()),
            Self::TooLarge => None,
            Self::Shared(shared) => {
                let held = poll_fn(|cx| shared.poll_whole(cx)).await?;
                Some(Pieces { held, rest: None }.boxed_unsync())
            }
        }
    }
}

pub(super) struct Shared {
    // One request's own, and hardly ever waited for: the upstream's connection and the request's task take turns.
    state: Mutex<State>,
    wakers: Arc<Wakers>,
}

struct State {
    /// `None` once it has ended or failed.
    source: Option<Body>,
    queue: VecDeque<Piece>,
    /// How many of the queue the tee has had.
    sent: usize,
    size: usize,
    is_kept: bool,
    failure: Option<BoxError>,
}

#[derive(Clone, Copy)]
enum Reader {
    Tee,
    Keeper,
}

/// The caller's body remembers one waker; this is it, and wakes both readers.
#[derive(Default)]
struct Wakers(Mutex<[Option<Waker>; 2]>);

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        let woken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        woken.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held but the caller's body, which is not read again after that.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the next piece to the queue; false at the end.
    fn poll_pull(&self, state: &mut State, reader: Reader, cx: &Context<'_>) -> Poll<bool> {
        let Some(source) = &mut state.source else {
            return Poll::Ready(false);
        };
        self.wakers.0.lock().unwrap_or_else(PoisonError::into_inner)[reader as usize] = Some(cx.waker().clone());
        let both = Waker::from(self.wakers.clone());
        match ready!(Pin::new(source).poll_frame(&mut Context::from_waker(&both))) {
            Some(Ok(frame)) => {
                if let Some(piece) = Piece::of(frame) {
                    state.size = state.size.saturating_add(piece.len());
                    state.is_kept &= state.size <= LIMIT;
                    state.queue.push_back(piece);
                }
            }
            Some(Err(error)) => {
                state.source = None;
                state.is_kept = false;
                state.failure = Some(error);
            }
            None => state.source = None,
        }
        // The other reader may have waited for this very piece.
        self.wakers.wake_by_ref_all();
        Poll::Ready(true)
    }

    fn poll_whole(&self, cx: &Context<'_>) -> Poll<Option<VecDeque<Piece>>> {
        let mut state = self.state();
        while state.is_kept {
            if state.source.is_none() {
                return Poll::Ready(Some(state.queue.clone()));
            }
            ready!(self.poll_pull(&mut state, Reader::Keeper, cx));
        }
        Poll::Ready(None)
    }
}

impl Wakers {
    fn wake_by_ref_all(self: &Arc<Self>) {
        Wake::wake(self.clone());
    }
}

impl State {
    fn next(&mut self) -> Option<Piece> {
        if self.is_kept {
            let piece = self.queue.get(self.sent).cloned()?;
            self.sent += 1;
            Some(piece)
        } else {
            // What was kept for nothing goes as soon as that is known.
            self.queue.drain(..std::mem::take(&mut self.sent));
            self.queue.pop_front()
        }
    }
}

/// The body as the upstream's connection reads it.
struct Tee(Arc<Shared>);

impl http_body::Body for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut state = self.0.state();
        loop {
            if let Some(piece) = state.next() {
                return Poll::Ready(Some(Ok(piece.into_frame())));
            }
            if let Some(error) = state.failure.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if !ready!(self.0.poll_pull(&mut state, Reader::Tee, cx)) {
                return Poll::Ready(None);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state();
        state.sent == state.queue.len()
            && state.failure.is_none()
            && state.source.as_ref().is_none_or(|source| source.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.state();
        let rest = state
            .source
            .as_ref()
            .map_or(SizeHint::with_exact(0), |source| source.size_hint());
        pieces::add(rest, state.queue.iter().skip(state.sent).map(Piece::len).sum())
    }
}

#[cfg(test)]
mod tests;
