//! What an upstream is spared, and what is sent to it again.

use std::{num::NonZeroU32, time::Duration};

use super::Check;
use crate::config::{
    checked::{Limits, Rate, Retries},
    node::KeyPath,
    raw::{self, Field},
};

/// How many retries there may be for a hundred requests.
const BUDGET: u32 = 20;
/// More retries than requests would be an attack.
const MOST_BUDGET: u32 = 100;
/// More attempts than this only make a failure last longer.
const MOST_ATTEMPTS: u32 = 10;

impl Check<'_> {
    pub(super) fn limits(&self, field: &Field<raw::Limits>, at: &KeyPath) -> Limits {
        let absent = raw::Limits::default();
        let raw = field.given().unwrap_or(&absent);
        let Limits {
            concurrency,
            queue,
            queue_timeout,
            ..
        } = Limits::default();
        let number = |field: &Field<u32>, default| field.given().map_or(default, |number| *number as usize);
        let span = |field: &Field<raw::Span>, key| {
            let given = field.given()?;
            Some(self.timeout(field, given.0, &at.key(key)))
        };
        let limits = Limits {
            concurrency: number(&raw.concurrency, concurrency),
            queue: number(&raw.queue, queue),
            queue_timeout: self.timeout(&raw.queue_timeout, queue_timeout, &at.key("queue_timeout")),
            rate: raw.rate.given().and_then(|rate| self.rate(rate, &at.key("rate"))),
            obey_retry_after: self.flag(&raw.obey_retry_after, false),
            request_body: raw.request_body.given().copied(),
            deadline: span(&raw.deadline, "deadline"),
            idle: span(&raw.idle, "idle"),
        };
        if limits.concurrency == 0 {
            self.fault(
                &at.key("concurrency"),
                "with room for no request, none is ever sent".into(),
                Some("leave it out, or give at least 1".into()),
            );
        }
        limits
    }

    fn rate(&self, raw: &raw::Rate, at: &KeyPath) -> Option<Rate> {
        let positive = |field: &Field<u32>, key| {
            let number = field.given().copied().map(NonZeroU32::new);
            if number == Some(None) {
                self.fault(
                    &at.key(key),
                    "with this, no request is ever sent".into(),
                    Some("give at least 1".into()),
                );
            }
            number.flatten()
        };
        if raw.requests.is_absent() {
            self.fault_at_key(
                at,
                "`requests` is missing".into(),
                Some("give `requests: 50`, and `per: 1m` where it isn't for each second".into()),
            );
        }
        let burst = positive(&raw.burst, "burst");
        let per = self.timeout(&raw.per, Duration::from_secs(1), &at.key("per"));
        let requests = positive(&raw.requests, "requests")?;
        Some(Rate {
            // More than a thousand million in a second is no limit.
            interval: (per / requests.get()).max(Duration::from_nanos(1)),
            burst: burst.unwrap_or(requests),
        })
    }

    pub(super) fn retries(&self, field: &Field<raw::Retries>, at: &KeyPath) -> Retries {
        let Some(raw) = field.given() else {
            return Retries::default();
        };
        let at_most = |field: &Field<u32>, default, most, key| {
            let number = field.given().copied().unwrap_or(default);
            if number > most {
                self.fault(&at.key(key), format!("this is at most {most}"), None);
            }
            number
        };
        if raw.attempts.is_absent() {
            self.fault_at_key(at, "`attempts` is missing".into(), Some("give `attempts: 2`".into()));
        }
        Retries {
            attempts: at_most(&raw.attempts, 0, MOST_ATTEMPTS, "attempts"),
            budget: at_most(&raw.budget, BUDGET, MOST_BUDGET, "budget"),
        }
    }
}
