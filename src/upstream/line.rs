//! One HTTP/1.1 connection to an upstream, and who sees to it that its bytes move.
//!
//! At first nobody but the request that is under way: its own task writes and reads, so none has to be woken for it.
//! Once there was a body to send, a task of the connection's own does: what is sent must go on however slowly the answer is read.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as _, Frame};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use tokio::{
    task::{AbortHandle, coop::unconstrained},
    time::Instant,
};

use super::{bell::Bell, connect::Stream, timer::Timer, upload::Sending};

type Connection = http1::Connection<Stream, Sending>;
/// What came of a request: the answer's head, or a request that provably never left.
pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<Sending>>>;
/// What is to come of it. In a box: hyper's own future is large, and goes through several hands.
pub(super) type ToCome = Pin<Box<dyn Future<Output = Sent> + Send>>;

/// A connection, with nothing or one request under way.
pub(super) struct Line {
    sender: http1::SendRequest<Sending>,
    driver: Driver,
    /// When the request under way is given up. It stays with the connection, because putting off a timer costs less
    /// than making one.
    limit: Timer,
    /// The pool's round in which it was first given back.
    first: Option<u32>,
}

enum Driver {
    Owner(Box<Owned>),
    /// Aborted where it is stuck in a write, and wouldn't notice that nobody wants its answer.
    Task(AbortHandle),
    /// Nothing is left to be driven.
    Ended,
}

/// A connection that moves while it is polled.
struct Owned {
    connection: Connection,
    /// Wakes whoever waits for the connection just now: nobody, while it is at rest.
    bell: Bell,
}

impl Owned {
    /// Moves on; whom its bell wakes is told when there is more to do.
    fn poll(&mut self) -> Poll<Result<(), hyper::Error>> {
        Pin::new(&mut self.connection).poll(&mut Context::from_waker(self.bell.waker()))
    }
}

impl Line {
    /// A connection after its handshake. `patience` is any time: the timer is set for each request.
    pub(super) fn new(sender: http1::SendRequest<Sending>, connection: Connection, patience: Duration) -> Self {
        let owned = Owned {
            connection,
            bell: Bell::default(),
        };
        Self {
            sender,
            driver: Driver::Owner(Box::new(owned)),
            limit: Timer::after(patience),
            first: None,
        }
    }

    /// Whether it may be given a request, as far as anybody can know. Where its server has hung up meanwhile, the
    /// request comes back unsent.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether its server has kept it open; looks at what has come, unlike [`is_closed`](Self::is_closed).
    pub(super) fn is_open(&mut self) -> bool {
        self.driver.poll_at_rest();
        !self.sender.is_closed()
    }

    /// Nobody waits for it any more: whether it can take another request, now or, if it runs, soon.
    pub(super) fn rest(&mut self) -> bool {
        if let Driver::Owner(owned) = &mut self.driver {
            owned.bell.leave();
            // It would never be by itself.
            return self.sender.is_ready() || (self.is_open() && self.sender.is_ready());
        }
        !self.sender.is_closed()
    }

    /// For how many of the pool's rounds it has been used; this is the number of the present one.
    pub(super) fn age(&mut self, round: u32) -> u32 {
        round.wrapping_sub(*self.first.get_or_insert(round))
    }

    /// Moves on by itself from now on, in a task.
    pub(super) fn run(&mut self) {
        match std::mem::replace(&mut self.driver, Driver::Ended) {
            Driver::Owner(owned) => {
                let connection = owned.connection;
                let task = tokio::spawn(async move { ended(connection.await) });
                self.driver = Driver::Task(task.abort_handle());
            }
            other => self.driver = other,
        }
    }

    /// Ends it in the middle of a request.
    pub(super) fn abandon(self) {
        if let Driver::Task(task) = self.driver {
            task.abort();
        }
    }

    /// Sends a request on a connection that [runs](Self::run).
    pub(super) fn send(&mut self, request: Request<Sending>) -> impl Future<Output = Sent> + Send + use<> {
        self.sender.try_send_request(request)
    }

    /// Gives it a request without a body. Its [`answer`](Self::answer) has so long from now on.
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's timers are put off to a moment of its own clock"
    )]
    pub(super) fn begin(&mut self, request: Request<Sending>, limit: Duration) -> ToCome {
        self.limit.set(Instant::now() + limit);
        // It is there or not, whatever the task's budget: where it isn't, nothing here would be woken for that.
        Box::pin(unconstrained(self.sender.try_send_request(request)))
    }

    /// Waits for the answer to what was [begun](Self::begin); `None` if none came in time.
    pub(super) fn answer(&mut self, mut answer: ToCome) -> impl Future<Output = Option<Sent>> + Send {
        let (driver, timer) = (&mut self.driver, &mut self.limit);
        std::future::poll_fn(move |context| {
            let answer = match driver.poll(context) {
                // An answer comes from the connection, which was polled just now, and from nowhere else.
                true => answer.as_mut().poll(&mut Context::from_waker(Waker::noop())),
                false => answer.as_mut().poll(context),
            };
            match answer {
                Poll::Ready(answer) => Poll::Ready(Some(answer)),
                Poll::Pending => {
                    // The bell's waker where there is one: the timer has it already, from the request before.
                    let waker = match driver {
                        Driver::Owner(owned) => owned.bell.waker(),
                        Driver::Task(_) | Driver::Ended => context.waker(),
                    };
                    // However much the connection has used up of the task's budget: an upstream that never stops
                    // sending heads that are no answer would never be given up.
                    let timer = pin!(unconstrained(&mut *timer));
                    timer.poll(&mut Context::from_waker(waker)).map(|()| None)
                }
            }
        })
    }

    /// The next frame of the body of its answer.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Incoming,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut body = Pin::new(body);
        let Driver::Owner(owned) = &mut self.driver else {
            return body.poll_frame(context);
        };
        // What has come already; if there is nothing, this asks the connection for more, which is there mostly. Either way
        // it is polled again before anybody waits, so it need not wake this task.
        owned.bell.leave();
        let nobody = &mut Context::from_waker(Waker::noop());
        if let frame @ Poll::Ready(_) = body.as_mut().poll_frame(nobody) {
            return frame;
        }
        self.driver.poll_at_rest();
        if let frame @ Poll::Ready(_) = body.as_mut().poll_frame(nobody) {
            return frame;
        }
        match self.driver.poll(context) {
            true => body.poll_frame(nobody),
            false => body.poll_frame(context),
        }
    }
}

impl Driver {
    /// Moves the connection on, where that is its owner's part, and has this task woken for more; whether it is.
    fn poll(&mut self, context: &Context<'_>) -> bool {
        if let Self::Owner(owned) = self {
            owned.bell.listen(context);
        }
        self.poll_at_rest()
    }

    /// The same, with nobody to be woken who wasn't before.
    fn poll_at_rest(&mut self) -> bool {
        let Self::Owner(owned) = self else { return false };
        if let Poll::Ready(how) = owned.poll() {
            ended(how);
            *self = Self::Ended;
        }
        true
    }
}

/// The error has reached the request that was under way, if there was one.
pub(super) fn ended(how: Result<(), hyper::Error>) {
    if let Err(error) = how {
        tracing::debug!(%error, "a connection to an upstream ended early");
    }
}
