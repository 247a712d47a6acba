//! What a request spends its time on, besides bearerd itself.

use std::{future::Future, time::Duration};

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
        let _measured = self.measured(Exchange::spent_upstream);
        answer.await
    }

    /// Waits for a token.
    pub(super) async fn token<F: Future>(self, token: F) -> F::Output {
        let _measured = self.measured(Exchange::spent_on_token);
        token.await
    }
}

impl<'a> Meter<'a> {
    fn measured(self, spent: fn(&Exchange, Duration)) -> Measured<'a> {
        Measured {
            begun: self.clock.monotonic(),
            meter: self,
            spent,
        }
    }
}

/// A wait that is counted when it ends, whether what was waited for came or nobody wants it any more.
struct Measured<'a> {
    begun: Duration,
    meter: Meter<'a>,
    spent: fn(&Exchange, Duration),
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        let time = self.meter.clock.monotonic().saturating_sub(self.begun);
        (self.spent)(self.meter.exchange, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_counts_also_if_it_is_given_up() {
        let (clock, exchange) = (Clock::manual(), Exchange::default());
        let meter = Meter {
            clock: &clock,
            exchange: &exchange,
        };
        meter.token(async { clock.advance(Duration::from_secs(2)) }).await;
        let mut waiting = Box::pin(meter.upstream(std::future::pending::<()>()));
        let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
        clock.advance(Duration::from_secs(30));
        drop(waiting);
        assert_eq!(exchange.upstream_time(), Duration::from_secs(30));
        assert_eq!(exchange.token_time(), Duration::from_secs(2));
    }
}
