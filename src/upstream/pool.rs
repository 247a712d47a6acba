//! The connections of one upstream that wait for their next request.
//!
//! An HTTP/1.1 connection carries one request at a time: it is lent, and given back when the answer's body has
//! ended. One HTTP/2 connection carries all requests at once. The connection that was used last is lent first, so those
//! that nobody needs any more grow old, and are closed.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};

use super::{BoxError, line::Line, place::Place, upload::Sending};

/// Unused connections are looked at so often.
const ROUND: Duration = Duration::from_secs(15);

/// A connection that was not used for so many rounds is closed, 45 to 60 seconds after its last request: servers
/// commonly close theirs after 60 to 75, and one that is used while the server closes it costs a request.
const ROUNDS: u32 = 4;

/// A connection is used for so many rounds, ten minutes: names are resolved anew for each, so whoever moves one is
/// followed, also while the old address still answers.
const MOST_ROUNDS: u32 = 40;

/// How many unused connections are kept. More would be wanted only by more callers at once than this, and a pool that
/// is too small for its callers pays a handshake for every request.
const MOST_IDLE: usize = 1024;

/// The unused connections of one upstream, which are closed when it is dropped.
#[derive(Default)]
pub(super) struct Pool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The one used last comes last.
    idle: Vec<Idle>,
    http2: Option<Http2>,
    round: u32,
    /// Whether somebody counts the rounds: nobody does while nothing is kept.
    is_swept: bool,
}

struct Idle {
    line: Box<Line>,
    since: u32,
}

#[derive(Clone)]
struct Http2 {
    sender: http2::SendRequest<Sending>,
    made: u32,
    used: u32,
}

/// What a request is sent over.
pub(super) enum Lent {
    Http1(Box<Line>),
    Http2(http2::SendRequest<Sending>),
}

impl Lent {
    /// Sends a request with a body, which goes on for as long as it takes, however the answer is read; returns the
    /// answer's head, or a request that provably never left.
    pub(super) async fn send(
        &mut self,
        request: Request<Sending>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Sending>>> {
        match self {
            Self::Http1(line) => {
                line.run();
                line.send(request).await
            }
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// Sends a request without a body; `None` if no answer came within `limit`.
    pub(super) async fn send_within(
        &mut self,
        request: Request<Sending>,
        limit: Duration,
    ) -> Option<Result<Response<Incoming>, TrySendError<Request<Sending>>>> {
        match self {
            Self::Http1(line) => {
                let answer = line.begin(request, limit);
                line.answer(answer).await
            }
            Self::Http2(sender) => tokio::time::timeout(limit, sender.try_send_request(request)).await.ok(),
        }
    }

    /// Ends a connection that is given up in the middle of a request; one that others use too goes on.
    pub(super) fn abandon(self) {
        if let Self::Http1(line) = self {
            line.abandon();
        }
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing within can panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that is open and free, as far as anybody can know.
    pub(super) fn take(&self) -> Option<Lent> {
        let mut state = self.state();
        let round = state.round;
        if let Some(http2) = &mut state.http2 {
            if !http2.sender.is_closed() && round.wrapping_sub(http2.made) < MOST_ROUNDS {
                http2.used = round;
                return Some(Lent::Http2(http2.sender.clone()));
            }
            // Requests that it carries hold clones: it ends after the last of them.
            state.http2 = None;
        }
        state.take_http1().map(Lent::Http1)
    }

    /// The same, but of HTTP/1.1.
    pub(super) fn take_http1(&self) -> Option<Box<Line>> {
        self.state().take_http1()
    }

    /// So many rounds pass.
    #[cfg(test)]
    pub(super) fn pass(&self, rounds: u32) {
        for _ in 0..rounds {
            self.state().next_round();
        }
    }

    /// How many connections wait for their next request; one of HTTP/2 doesn't wait.
    pub(super) fn idle(&self) -> usize {
        self.state().idle.len()
    }

    /// Shares a new HTTP/2 connection.
    pub(super) fn share(&self, sender: http2::SendRequest<Sending>) {
        let mut state = self.state();
        let round = state.round;
        state.http2 = Some(Http2 {
            sender,
            made: round,
            used: round,
        });
        self.sweep(&mut state);
    }

    fn give_back(&self, mut line: Box<Line>) {
        if !line.rest() {
            return;
        }
        let mut state = self.state();
        let since = state.round;
        if state.idle.len() >= MOST_IDLE || line.age(since) >= MOST_ROUNDS {
            return;
        }
        state.idle.push(Idle { line, since });
        self.sweep(&mut state);
    }

    /// Sees to it that somebody closes what nobody uses.
    fn sweep(&self, state: &mut State) {
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self.0)));
        }
    }
}

impl State {
    /// Closes what nobody uses; whether anything is left.
    fn next_round(&mut self) -> bool {
        self.round = self.round.wrapping_add(1);
        let round = self.round;
        let is_old = |since: u32| round.wrapping_sub(since) >= ROUNDS;
        self.idle.retain_mut(|idle| !is_old(idle.since) && idle.line.is_open());
        // Requests under way hold clones: their connection ends after the last of them.
        self.http2
            .take_if(|http2| is_old(http2.used) || http2.sender.is_closed());
        !self.idle.is_empty() || self.http2.is_some()
    }

    fn take_http1(&mut self) -> Option<Box<Line>> {
        // The last ones may still be busy with the end of an answer that their caller has had already.
        let mut at = self.idle.len();
        while let Some(next) = at.checked_sub(1) {
            at = next;
            let line = &self.idle[at].line;
            if line.is_ready() {
                return Some(self.idle.remove(at).line);
            }
            if line.is_closed() {
                self.idle.remove(at);
            }
        }
        None
    }
}

async fn sweep(pool: Weak<Mutex<State>>) {
    loop {
        tokio::time::sleep(ROUND).await;
        let Some(state) = pool.upgrade() else { return };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.next_round() {
            state.idle = Vec::new();
            state.is_swept = false;
            return;
        }
    }
}

/// An answer's body, whose connection goes back to the pool when it ends, and is closed when it is dropped before that.
pub(super) struct Answer {
    body: Incoming,
    /// Nothing where others use it too.
    line: Option<Box<Line>>,
    /// Kept for as long as something may still come.
    place: Option<Place>,
}

impl Answer {
    /// The body of what was answered over this connection.
    pub(super) fn new(body: Incoming, lent: Lent, place: Place) -> Self {
        let mut answer = Self {
            body,
            line: match lent {
                Lent::Http1(line) => Some(line),
                Lent::Http2(_) => None,
            },
            place: Some(place),
        };
        answer.give_back_at_end();
        answer
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    /// The connection first: whoever has waited for the place finds it in the pool.
    fn give_back(&mut self) {
        if let Some(place) = self.place.take()
            && let Some(line) = self.line.take()
        {
            place.pool().give_back(line);
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = match &mut this.line {
            Some(line) => line.poll_frame(&mut this.body, context),
            None => Pin::new(&mut this.body).poll_frame(context),
        };
        match &frame {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Err(_))) => {
                self.line = None;
                self.place = None;
            }
        }
        frame.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
