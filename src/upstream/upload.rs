//! A request's body on its way to the upstream, and whether it gets there.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::{Body, BoxError, error::chain};

/// How often in each `response_timeout` an upload is looked at: a stalled one is noticed at most a quarter late, and
/// no frame of the others has to wake anybody.
const LOOKS: u32 = 4;

/// A request's body, and how far it has got.
pub(super) struct Upload(Mutex<Progress>);

struct Progress {
    /// `None` once it has been sent or given up.
    body: Option<Body>,
    /// How often the upstream's connection has asked for a frame, and whether it is done.
    steps: usize,
    /// Whether it asked for one that the caller hasn't sent yet: it may do so for as long as it likes.
    awaits_caller: bool,
    /// Why there was none, where the caller's body broke off.
    broken: Option<String>,
}

impl Upload {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics while it is held but the caller's body, and then its connection is gone too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the body, whoever still holds this: a connection that is stuck may do so for long.
    pub(super) fn let_go(&self) {
        let body = {
            let mut progress = self.progress();
            progress.steps += 1;
            progress.awaits_caller = false;
            progress.body.take()
        };
        drop(body);
    }

    /// Why the caller's body broke off, if it did.
    pub(super) fn broken(&self) -> Option<String> {
        self.progress().broken.take()
    }

    /// Returns once nothing has happened for `limit`: whether the body had been sent by then.
    pub(super) async fn expired(&self, limit: Duration) -> bool {
        let step = (limit / LOOKS).max(Duration::from_millis(1));
        let mut quiet = Duration::ZERO;
        let mut seen = 0;
        loop {
            tokio::time::sleep(step).await;
            let progress = self.progress();
            if progress.steps != seen || progress.awaits_caller {
                (seen, quiet) = (progress.steps, Duration::ZERO);
                continue;
            }
            quiet += step;
            if quiet >= limit {
                return progress.body.is_none();
            }
        }
    }
}

/// A request's body as its connection reads it.
pub(super) enum Sending {
    /// There is none.
    Nothing,
    /// It streams, and is watched.
    Upload(Arc<Upload>),
}

impl Sending {
    /// The body to send, and what to watch of it.
    pub(super) fn of(body: Body) -> (Self, Option<Arc<Upload>>) {
        if body.is_end_stream() {
            return (Self::Nothing, None);
        }
        let upload = Arc::new(Upload(Mutex::new(Progress {
            body: Some(body),
            steps: 0,
            awaits_caller: false,
            broken: None,
        })));
        (Self::Upload(upload.clone()), Some(upload))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Self::Upload(upload) = self {
            upload.let_go();
        }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Upload(upload) = &*self else {
            return Poll::Ready(None);
        };
        let mut progress = upload.progress();
        let Some(body) = &mut progress.body else {
            // Not an end: what has been sent would pass for the whole.
            return Poll::Ready(Some(Err("the request was given up".into())));
        };
        let frame = Pin::new(body).poll_frame(context);
        progress.awaits_caller = frame.is_pending();
        progress.steps += 1;
        if let Poll::Ready(Some(Err(error))) = &frame {
            progress.broken = Some(chain(&**error));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Upload(upload) => upload.progress().body.as_ref().is_some_and(|body| body.is_end_stream()),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Nothing => SizeHint::with_exact(0),
            Self::Upload(upload) => upload
                .progress()
                .body
                .as_ref()
                .map_or_else(SizeHint::new, |body| body.size_hint()),
        }
    }
}
