//! What the routes did between two looks at the metrics page.
//!
//! The page is read as a Prometheus server reads it, so that the request path counts nothing for whoever watches.

use std::collections::BTreeMap;

use serde::Serialize;

/// The metrics' route of a request that no route wanted.
const NO_ROUTE: &str = "-";

/// One look at the counters.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Counters {
    routes: BTreeMap<String, Route>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Route {
    requests: u64,
    /// Answered with 4xx.
    refused: u64,
    /// Answered with 5xx.
    failed: u64,
    /// How many requests took at most so many seconds, ascending; the last is infinite.
    took: Vec<(f64, u64)>,
}

/// What a route did between two looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RouteSample {
    route: String,
    /// How many requests were answered.
    requests: u64,
    /// How many of them with 4xx.
    refused: u64,
    /// How many of them with 5xx.
    failed: u64,
    /// How long half of them took at most, and 95 of 100, in milliseconds: as near as the histogram's buckets tell.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
}

impl Counters {
    /// Reads them off the metrics page, in the OpenMetrics text format.
    pub(super) fn read(page: &str) -> Self {
        let mut counters = Self::default();
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("bearerd_requests_total{") {
                counters.request(rest);
            } else if let Some(rest) = line.strip_prefix("bearerd_request_duration_seconds_bucket{") {
                counters.bucket(rest);
            }
        }
        counters
    }

    fn request(&mut self, sample: &str) {
        let Some((labels, count)) = parts(sample) else { return };
        let (Some(route), Some(status)) = (label(labels, "route"), label(labels, "status")) else {
            return;
        };
        let route = self.routes.entry(route.to_owned()).or_default();
        route.requests += count;
        match status.as_bytes().first() {
            Some(b'4') => route.refused += count,
            Some(b'5') => route.failed += count,
            _ => {}
        }
    }

    fn bucket(&mut self, sample: &str) {
        let Some((labels, count)) = parts(sample) else { return };
        let (Some(route), Some(bound)) = (label(labels, "route"), label(labels, "le")) else {
            return;
        };
        let bound = bound.parse().unwrap_or(f64::INFINITY);
        self.routes
            .entry(route.to_owned())
            .or_default()
            .took
            .push((bound, count));
    }

    /// How many requests each route has answered since the start; those that no route wanted once there are some.
    pub(super) fn totals(&self) -> BTreeMap<&str, u64> {
        let totals = self.routes.iter();
        let totals = totals.filter(|(name, route)| *name != NO_ROUTE || route.requests > 0);
        totals.map(|(name, route)| (name.as_str(), route.requests)).collect()
    }

    /// What was done since `before`, by those routes that did anything.
    pub(super) fn since(&self, before: &Self) -> Vec<RouteSample> {
        let idle = Route::default();
        let each = self.routes.iter().filter_map(|(name, route)| {
            let was = before.routes.get(name).unwrap_or(&idle);
            let requests = route.requests.saturating_sub(was.requests);
            let took = route.took_since(was);
            (requests > 0).then(|| RouteSample {
                route: name.clone(),
                requests,
                refused: route.refused.saturating_sub(was.refused),
                failed: route.failed.saturating_sub(was.failed),
                p50_ms: quantile(&took, 0.5),
                p95_ms: quantile(&took, 0.95),
            })
        });
        each.collect()
    }
}

impl Route {
    fn took_since(&self, before: &Self) -> Vec<(f64, u64)> {
        let was = |nth: usize| before.took.get(nth).map_or(0, |(_, count)| *count);
        let took = self.took.iter().enumerate();
        took.map(|(nth, (bound, count))| (*bound, count.saturating_sub(was(nth))))
            .collect()
    }
}

/// A sample's labels and its value.
fn parts(sample: &str) -> Option<(&str, u64)> {
    let (labels, value) = sample.rsplit_once("} ")?;
    Some((labels, value.trim().parse().ok()?))
}

/// A label's value. The names of routes and statuses need no escapes.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split(',').find_map(|label| {
        let (found, value) = label.split_once('=')?;
        (found == name).then(|| value.trim_matches('"'))
    })
}

/// The value in milliseconds below which this share of the counts lies, on a straight line through its bucket, as
/// Prometheus' `histogram_quantile` has it; `None` where nothing was counted.
fn quantile(took: &[(f64, u64)], share: f64) -> Option<f64> {
    let (_, all) = *took.last()?;
    if all == 0 {
        return None;
    }
    let wanted = share * all as f64;
    let (mut lower, mut below) = (0.0, 0);
    for (bound, count) in took {
        if *count as f64 >= wanted {
            // Nothing is known of how far beyond the last bound it is.
            let upper = if bound.is_finite() { *bound } else { lower };
            let within = count.saturating_sub(below).max(1) as f64;
            let seconds = lower + (upper - lower) * ((wanted - below as f64) / within);
            // To a hundredth of a millisecond.
            return Some((seconds * 100_000.0).round() / 100.0);
        }
        (lower, below) = (*bound, *count);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::metrics::{Answered, Metrics};

    #[test]
    fn a_sample_is_what_came_between_two_looks() {
        let metrics = Metrics::new();
        let (shop, idle) = (
            metrics.route(&"shop".parse().unwrap()),
            metrics.route(&"idle".parse().unwrap()),
        );
        shop.request(Answered::new(StatusCode::OK, Duration::from_millis(900)));
        idle.request(Answered::new(StatusCode::OK, Duration::from_millis(3)));
        let before = Counters::read(&metrics.page());
        assert_eq!(before.since(&before), []);
        for _ in 0..8 {
            shop.request(Answered::new(StatusCode::OK, Duration::from_millis(3)));
        }
        shop.request(Answered::new(StatusCode::NOT_FOUND, Duration::from_millis(3)));
        shop.request(Answered::new(StatusCode::BAD_GATEWAY, Duration::from_millis(700)));
        let after = Counters::read(&metrics.page());
        let [sample] = &*after.since(&before) else { panic!() };
        assert_eq!((&*sample.route, sample.requests), ("shop", 10));
        assert_eq!((sample.refused, sample.failed), (1, 1));
        // Nine of ten are in the bucket from 2 to 4 ms, the tenth in the one from 512 to 1024 ms.
        let (p50, p95) = (sample.p50_ms.unwrap(), sample.p95_ms.unwrap());
        assert!(
            (2.0..=4.0).contains(&p50) && (512.0..=1024.0).contains(&p95),
            "{sample:?}"
        );
        assert_eq!(
            after.totals().into_iter().collect::<Vec<_>>(),
            [("idle", 1), ("shop", 11)]
        );
    }

    #[test]
    fn a_route_is_there_before_its_first_request_and_no_route_only_after() {
        let metrics = Metrics::new();
        let _route = metrics.route(&"shop".parse().unwrap());
        let counters = Counters::read(&metrics.page());
        assert_eq!((counters.totals().get("shop"), counters.totals().len()), (Some(&0), 1));
        metrics
            .unrouted()
            .request(Answered::new(StatusCode::NOT_FOUND, Duration::ZERO));
        let counters = Counters::read(&metrics.page());
        assert_eq!(counters.totals().get("-"), Some(&1));
    }

    #[test]
    fn what_is_beyond_the_last_bucket_is_at_its_bound() {
        assert_eq!(quantile(&[(1.0, 0), (f64::INFINITY, 4)], 0.5), Some(1000.0));
        assert_eq!(quantile(&[(1.0, 4), (f64::INFINITY, 4)], 0.5), Some(500.0));
        assert_eq!(quantile(&[(1.0, 0), (f64::INFINITY, 0)], 0.5), None);
        assert_eq!(quantile(&[], 0.5), None);
    }
}
