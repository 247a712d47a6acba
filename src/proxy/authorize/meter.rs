//! What a request spends its time on, besides bearerd itself.

use std::future::Future;

use crate::{clock::Clock, proxy::Exchange};

/// Measures for one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter<'a> {
    /// By this clock.
    pub clock: &'a Clock,
    /// Where it is kept.
    pub exchange: &'a Exchange,
}

impl Meter<'_> {
    /// Waits for the head of an answer.
    pub(super) async fn upstream<F: Future>(self, answer: F) -> F::Output {
        let begun = self.clock.monotonic();
        let answer = answer.await;
        self.exchange
            .spent_upstream(self.clock.monotonic().saturating_sub(begun));
        answer
    }

    /// Waits for a token.
    pub(super) async fn token<F: Future>(self, token: F) -> F::Output {
        let begun = self.clock.monotonic();
        let token = token.await;
        self.exchange
            .spent_on_token(self.clock.monotonic().saturating_sub(begun));
        token
    }
}
