//! A request's place at its upstream.

use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::SemaphorePermit;

use super::{
    Body, Client, UpstreamError,
    pool::{Answer, Lent, Pool},
};

/// One of those that the upstream's client has, free again when it is dropped: from before there is a connection to
/// the end of the answer.
pub(super) struct Place(Client);

impl Place {
    /// The place that this permit is for.
    pub(super) fn new(client: &Client, permit: SemaphorePermit<'_>) -> Self {
        permit.forget();
        Self(client.clone())
    }

    /// Whose it is.
    pub(super) fn client(&self) -> &Client {
        &self.0
    }

    /// Where the connection goes when the answer has been read.
    pub(super) fn pool(&self) -> &Pool {
        &self.0.0.pool
    }

    /// The answer that came over this connection, and keeps both until it was read.
    pub(super) fn answered(self, lent: Lent, answer: Response<Incoming>) -> Result<Response<Body>, UpstreamError> {
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(self.0.0.switched_unasked());
        }
        Ok(answer.map(|body| Answer::new(body, lent, self).boxed_unsync()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.slots.leave();
    }
}
