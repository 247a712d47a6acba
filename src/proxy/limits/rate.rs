//! How many requests are sent in a time; and none, while the API says so.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, header::RETRY_AFTER};

use crate::{clock::Clock, config::checked};

/// The longest that an API is obeyed: what it says beyond that is more likely a mistake than a wish.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// The pace of one upstream.
pub struct Rate {
    limiter: Option<Limiter>,
    obeys: bool,
    clock: Clock,
    /// In milliseconds of the clock: nothing is sent before.
    paused_until: AtomicU64,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Steady, NoOpMiddleware<Duration>>;

/// The program's clock, for governor.
struct Steady(Clock);

impl governor::clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rate")
    }
}

impl Rate {
    /// This rate, if there is one; and obedience, if it is wanted.
    pub fn new(rate: Option<checked::Rate>, obeys: bool, clock: Clock) -> Self {
        let limiter = rate.and_then(|rate| {
            let quota = Quota::with_period(rate.interval)?.allow_burst(rate.burst);
            Some(RateLimiter::direct_with_clock(quota, Steady(clock.clone())))
        });
        Self {
            limiter,
            obeys,
            clock,
            paused_until: AtomicU64::new(0),
        }
    }

    /// Room for one request, or how long until there is some.
    pub fn take(&self) -> Result<(), Duration> {
        let paused = Duration::from_millis(self.paused_until.load(Ordering::Relaxed));
        let left = paused.saturating_sub(self.clock.monotonic());
        if !left.is_zero() {
            return Err(left);
        }
        let Some(limiter) = &self.limiter else {
            return Ok(());
        };
        limiter
            .check()
            .map_err(|until| until.wait_time_from(limiter.clock().now()))
    }

    /// The API has had enough, and says for how long.
    pub fn obey(&self, headers: &HeaderMap) {
        let wall = UNIX_EPOCH + Duration::from_millis(self.clock.now().wall);
        let Some(pause) = self.obeys.then(|| retry_after(headers, wall)).flatten() else {
            return;
        };
        let until = self.clock.monotonic() + pause.min(LONGEST_PAUSE);
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.paused_until.fetch_max(until, Ordering::Relaxed);
    }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(now).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(interval: Duration, burst: u32) -> Option<checked::Rate> {
        Some(checked::Rate {
            interval,
            burst: burst.try_into().unwrap(),
        })
    }

    fn after(text: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())])
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_for_each_interval() {
        let clock = Clock::manual();
        let rate = Rate::new(rate(Duration::from_millis(100), 3), false, clock.clone());
        for _ in 0..3 {
            assert_eq!(rate.take(), Ok(()));
        }
        assert_eq!(rate.take(), Err(Duration::from_millis(100)));
        clock.advance(Duration::from_millis(99));
        assert_eq!(rate.take(), Err(Duration::from_millis(1)));
        clock.advance(Duration::from_millis(1));
        assert_eq!(rate.take(), Ok(()));
        assert_eq!(rate.take(), Err(Duration::from_millis(100)));
    }

    #[test]
    fn an_api_that_has_had_enough_is_left_alone_for_as_long_as_it_says() {
        let clock = Clock::manual();
        let rate = Rate::new(None, true, clock.clone());
        rate.obey(&after("3"));
        assert_eq!(rate.take(), Err(Duration::from_secs(3)));
        // Of two answers, the later end counts.
        rate.obey(&after("1"));
        assert_eq!(rate.take(), Err(Duration::from_secs(3)));
        clock.advance(Duration::from_secs(3));
        assert_eq!(rate.take(), Ok(()));
        rate.obey(&after("99999999999"));
        assert_eq!(rate.take(), Err(LONGEST_PAUSE));
    }

    #[test]
    fn nobody_is_obeyed_unasked_or_without_a_time() {
        let deaf = Rate::new(None, false, Clock::manual());
        deaf.obey(&after("3"));
        assert_eq!(deaf.take(), Ok(()));
        let rate = Rate::new(None, true, Clock::manual());
        for text in ["soon", "-1", "Thu, 01 Jan 1970 00:00:00 GMT"] {
            rate.obey(&after(text));
            assert_eq!(rate.take(), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_date_is_a_time_too() {
        let now = UNIX_EPOCH + Duration::from_secs(60);
        let found = retry_after(&after("Thu, 01 Jan 1970 00:01:30 GMT"), now);
        assert_eq!(found, Some(Duration::from_secs(30)));
    }
}
