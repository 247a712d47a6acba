//! What is sent again after a failure, and how much of that there may be.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use http::Method;

use crate::upstream::UpstreamError;

/// What one retry takes from the budget; a request adds as many hundredths as the config has percents.
const ONE: u32 = 100;
/// How many retries there may be before there was a request, and how many can be saved up: an upstream that fails
/// sees at most this many more than the percentage.
const SAVED: u32 = 10 * ONE;
/// The pause before a second retry, which doubles; an upstream that restarts needs a moment.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What is sent again to one upstream.
#[derive(Debug)]
pub struct Retries {
    /// How often one request is sent again; a stale connection's doesn't count.
    attempts: u32,
    /// How many hundred requests pay for how many retries.
    percent: u32,
    balance: AtomicU32,
}

impl Default for Retries {
    fn default() -> Self {
        Self::new(0, 0)
    }
}

impl Retries {
    /// So many further attempts for each request, and over all requests so many in a hundred.
    pub fn new(attempts: u32, percent: u32) -> Self {
        Self {
            attempts,
            percent,
            balance: AtomicU32::new(SAVED),
        }
    }

    /// Whether a request with this method may ever be sent again.
    pub fn covers(&self, method: &Method) -> bool {
        self.attempts > 0 || method.is_idempotent()
    }

    /// A request is about to be sent for the first time.
    pub fn note_request(&self) {
        if self.attempts > 0 {
            let add = |balance: u32| Some((balance + self.percent).min(SAVED));
            // The closure always has an answer.
            let _ = self.balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }

    fn take(&self) -> bool {
        let less = |balance: u32| balance.checked_sub(ONE);
        self.balance
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }
}

/// The further attempts of one request.
pub struct Tries<'a> {
    retries: &'a Retries,
    is_idempotent: bool,
    was_stale: bool,
    made: u32,
}

impl<'a> Tries<'a> {
    /// None was made yet.
    pub fn new(retries: &'a Retries, is_idempotent: bool) -> Self {
        Self {
            retries,
            is_idempotent,
            was_stale: false,
            made: 0,
        }
    }

    /// After which pause there is to be one more attempt after this failure, if any.
    pub fn next(&mut self, error: &UpstreamError) -> Option<Duration> {
        let may_be_done_twice = match error {
            UpstreamError::Broken { was_used, .. } => {
                // Whatever is configured: this is no failure of the upstream's, and it can happen once a request, for
                // the next connection is a new one.
                if *was_used && self.is_idempotent && !self.was_stale {
                    self.was_stale = true;
                    return Some(Duration::ZERO);
                }
                self.is_idempotent
            }
            // It never left.
            UpstreamError::Unreachable { .. } => true,
            // Late, refused or unreadable: one more would be the same again, or more of what is too much.
            _ => false,
        };
        if !may_be_done_twice || self.made >= self.retries.attempts || !self.retries.take() {
            return None;
        }
        self.made += 1;
        let doubled = |times: u32| FIRST_PAUSE.saturating_mul(1 << times.min(16)).min(LONGEST_PAUSE);
        Some(match (self.made, error) {
            // Where nothing listens, nothing will in the same instant.
            (made, UpstreamError::Unreachable { .. }) => doubled(made - 1),
            (1, _) => Duration::ZERO,
            (made, _) => doubled(made - 2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(was_used: bool) -> UpstreamError {
        UpstreamError::Broken {
            host: "api.example".into(),
            reason: "x".into(),
            was_used,
        }
    }

    fn unreachable() -> UpstreamError {
        UpstreamError::Unreachable {
            host: "api.example".into(),
            reason: "x".into(),
        }
    }

    #[test]
    fn a_stale_connection_costs_one_more_attempt_and_only_where_it_can_do_no_harm() {
        let off = Retries::default();
        let mut tries = Tries::new(&off, true);
        assert_eq!(tries.next(&broken(true)), Some(Duration::ZERO));
        assert_eq!(tries.next(&broken(true)), None);
        assert_eq!(Tries::new(&off, true).next(&broken(false)), None);
        assert_eq!(Tries::new(&off, false).next(&broken(true)), None);
        assert_eq!(Tries::new(&off, true).next(&unreachable()), None);
    }

    #[test]
    fn what_never_left_is_sent_again_whatever_it_is() {
        let retries = Retries::new(1, 20);
        let mut tries = Tries::new(&retries, false);
        // Not at once: what nobody listened to then would find nobody now.
        assert_eq!(tries.next(&unreachable()), Some(FIRST_PAUSE));
        assert_eq!(tries.next(&unreachable()), None);
        assert_eq!(Tries::new(&retries, false).next(&broken(false)), None);
    }

    #[test]
    fn what_was_late_is_not_asked_again() {
        let retries = Retries::new(9, 100);
        let late = UpstreamError::Timeout {
            host: "api.example".into(),
            reason: "x".into(),
        };
        assert_eq!(Tries::new(&retries, true).next(&late), None);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let retries = Retries::new(9, 100);
        let mut tries = Tries::new(&retries, true);
        let pauses: Vec<u128> = std::iter::from_fn(|| tries.next(&broken(false)))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [0, 50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn the_budget_is_a_share_of_the_requests() {
        let retries = Retries::new(1, 20);
        let retried = |count: usize| {
            let attempts = (0..count).filter(|_| {
                retries.note_request();
                Tries::new(&retries, true).next(&broken(false)).is_some()
            });
            attempts.count()
        };
        // Ten that were saved up, and a fifth of the requests; at the first one nothing more can be saved.
        assert_eq!(retried(1000), 209);
        // Whoever saves for long doesn't save more.
        for _ in 0..10_000 {
            retries.note_request();
        }
        assert_eq!(retried(1000), 209);
    }
}
