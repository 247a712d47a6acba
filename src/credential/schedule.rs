//! When to renew, and how long to wait after a failure: arithmetic, with chance passed in.

use std::time::Duration;

use super::token::Tokens;
use crate::clock::Deadline;

/// The least lead of a renewal over the expiry, unless that is more than half the lifetime.
pub const LEAST_LEAD: Duration = Duration::from_secs(60);
/// How much earlier than its lead a renewal may start, as a fraction of the lead.
const JITTER: f64 = 0.2;

/// How long before its expiry a token of this lifetime is renewed: min(max(60 s, 10 %), half of it).
pub fn lead(lifetime: Duration) -> Duration {
    LEAST_LEAD.max(lifetime / 10).min(lifetime / 2)
}

/// When to renew these tokens ahead of their expiry; `None` where they don't expire. `chance` is in 0..1.
pub fn renew_at(tokens: &Tokens, min_age: Duration, chance: f64) -> Option<Deadline> {
    let expires = tokens.expires?;
    let lifetime = Duration::from_millis(expires.wall().saturating_sub(tokens.obtained));
    let lead = lead(lifetime);
    let ahead = lead + lead.mul_f64(JITTER * chance.clamp(0.0, 1.0));
    // An access token younger than `min_age` is left alone, even if that means until it has expired.
    let ahead = ahead.min(lifetime.saturating_sub(min_age));
    Some(expires.earlier(ahead))
}

/// When to renew an idle grant, so that its refresh token doesn't die unused: at nine tenths of its life.
pub fn keep_alive_at(dies: Deadline, obtained: u64) -> Deadline {
    let lifetime = Duration::from_millis(dies.wall().saturating_sub(obtained));
    dies.earlier(lifetime / 10)
}

/// A renewal sooner than this after the one before says nothing of what it prolongs: servers round to seconds.
const TELLING: Duration = Duration::from_secs(60);

/// Whether a renewal has prolonged the life of its grant; `None` where that can't be told.
pub fn prolonged(before: &Tokens, after: &Tokens) -> Option<bool> {
    let elapsed = after.obtained.checked_sub(before.obtained)?;
    let (was, is) = (before.dies?.wall(), after.dies?.wall());
    // A life that starts anew gains what has elapsed, one with a fixed end nothing. One that ends sooner is of another
    // kind: the setting was changed, or the first token of a session lives longer than those that follow.
    let telling = u64::try_from(TELLING.as_millis()).unwrap_or(u64::MAX);
    let is_shorter = was > is.saturating_add(telling);
    (elapsed >= telling && !is_shorter).then(|| is.saturating_sub(was) > elapsed / 2)
}

/// What went wrong, as far as the length of a wait depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Nothing was spent, or nobody knows: the endpoint or the store is in trouble. One second, doubling to a minute.
    Trouble,
    /// A setting is wrong: somebody has to mend it. Five seconds, doubling to five minutes.
    Refused,
    /// A user or password is wrong: providers lock accounts. One minute, doubling to an hour.
    Login,
    /// A token obtained because of a rejection was rejected too. Thirty seconds, doubling to an hour.
    Rejected,
}

/// The longest wait that a server's Retry-After can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How long to wait after the `failures`-th failure in a row (the first is 1). `chance` is in 0..1 and shortens a
/// wait of our own by up to a tenth, so that replicas don't march in step; a server's Retry-After is a floor.
pub fn back_off(severity: Severity, failures: u32, retry_after: Option<Duration>, chance: f64) -> Duration {
    let (first, longest) = match severity {
        Severity::Trouble => (1, 60),
        Severity::Refused => (5, 300),
        Severity::Login => (60, 3600),
        Severity::Rejected => (30, 3600),
    };
    let doubled = first << failures.saturating_sub(1).min(12);
    let own = Duration::from_secs(doubled.min(longest)).mul_f64(1.0 - chance.clamp(0.0, 1.0) / 10.0);
    own.max(retry_after.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn tokens(lifetime: u64) -> (Tokens, crate::clock::Now) {
        let now = Clock::manual().now();
        let tokens = Tokens {
            obtained: now.wall,
            expires: Some(Deadline::after(now, seconds(lifetime))),
            ..Tokens::default()
        };
        (tokens, now)
    }

    #[test]
    fn the_lead_is_a_minute_a_tenth_or_half() {
        assert_eq!(lead(seconds(20)), seconds(10));
        assert_eq!(lead(seconds(300)), seconds(60));
        assert_eq!(lead(seconds(86_400)), seconds(8_640));
    }

    #[test]
    fn jitter_only_makes_it_earlier() {
        let (tokens, now) = tokens(1800);
        let late = renew_at(&tokens, Duration::ZERO, 0.0).unwrap().remaining(now);
        let early = renew_at(&tokens, Duration::ZERO, 1.0).unwrap().remaining(now);
        assert_eq!(late, seconds(1620));
        assert_eq!(early, seconds(1584));
    }

    #[test]
    fn min_age_holds_a_renewal_back() {
        let (tokens, now) = tokens(100);
        let at = renew_at(&tokens, seconds(90), 1.0).unwrap();
        assert_eq!(at.remaining(now), seconds(90));
        let at = renew_at(&tokens, seconds(900), 1.0).unwrap();
        assert_eq!(at.remaining(now), seconds(100), "never later than the expiry");
    }

    #[test]
    fn a_wrong_password_is_tried_a_handful_of_times_an_hour() {
        let mut elapsed = Duration::ZERO;
        let mut tries = 0;
        while elapsed < seconds(3600) {
            tries += 1;
            elapsed += back_off(Severity::Login, tries, None, 1.0);
        }
        assert!(tries <= 7, "{tries}");
    }

    #[test]
    fn retry_after_is_a_floor_and_has_a_ceiling() {
        assert_eq!(back_off(Severity::Trouble, 1, Some(seconds(17)), 0.0), seconds(17));
        assert_eq!(
            back_off(Severity::Trouble, 1, Some(seconds(1 << 40)), 0.0),
            seconds(3600)
        );
        assert_eq!(back_off(Severity::Trouble, 40, Some(seconds(1)), 0.0), seconds(60));
    }
}
