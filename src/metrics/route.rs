//! The counts of one route, at hand, so that counting a request looks nothing up and allocates nothing.

use std::time::Duration;

use arc_swap::ArcSwap;
use http::StatusCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    route: String,
    phase: &'static str,
}

/// The families that routes are counted in.
#[derive(Debug)]
pub(super) struct RouteFamilies {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram>,
    phases: Family<PhaseLabels, Histogram>,
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// The answer's status.
    pub status: StatusCode,
    /// The code of an answer of our own.
    pub code: Option<&'static str>,
    /// From the request's head to the answer's.
    pub took: Duration,
    /// How much of that was waiting for a token.
    pub token: Duration,
    /// How much of that was waiting for the upstream.
    pub upstream: Duration,
}

impl Answered {
    /// An answer that took so long, all of it here.
    pub fn new(status: StatusCode, took: Duration) -> Self {
        Self {
            status,
            code: None,
            took,
            token: Duration::ZERO,
            upstream: Duration::ZERO,
        }
    }
}

impl RouteFamilies {
    pub(super) fn new(registry: &mut Registry) -> Self {
        // From a quarter of a millisecond to about half a minute, doubling.
        let buckets = || Histogram::new(exponential_buckets(0.000_25, 2.0, 18));
        let requests = Family::default();
        let help = "Requests answered, by route, status and, of bearerd's own answers, code";
        registry.register("requests", help, requests.clone());
        let durations: Family<RouteLabels, Histogram> = Family::new_with_constructor(buckets);
        registry.register_with_unit(
            "request_duration",
            "Time from a request's head to the head of its answer",
            Unit::Seconds,
            durations.clone(),
        );
        let phases: Family<PhaseLabels, Histogram> = Family::new_with_constructor(buckets);
        registry.register_with_unit(
            "request_phase_duration",
            "How much of it was bearerd's own, waiting for a token, and waiting for the upstream",
            Unit::Seconds,
            phases.clone(),
        );
        Self {
            requests,
            durations,
            phases,
        }
    }
}

/// The counts of one route.
#[derive(Debug)]
pub struct RouteCounts {
    route: String,
    requests: Family<RequestLabels, Counter>,
    took: Histogram,
    own: Histogram,
    token: Histogram,
    upstream: Histogram,
    /// Those of the outcomes seen so far, which are few; others copy the list.
    by_outcome: ArcSwap<Vec<(Outcome, Counter)>>,
}

type Outcome = (StatusCode, Option<&'static str>);

impl RouteCounts {
    pub(super) fn new(route: &str, families: &RouteFamilies) -> Self {
        let labels = RouteLabels { route: route.into() };
        let phase = |phase| {
            let route = route.into();
            families.phases.get_or_create(&PhaseLabels { route, phase }).clone()
        };
        Self {
            route: route.into(),
            requests: families.requests.clone(),
            took: families.durations.get_or_create(&labels).clone(),
            own: phase("own"),
            token: phase("token"),
            upstream: phase("upstream"),
            by_outcome: ArcSwap::default(),
        }
    }

    /// A request was answered.
    pub fn request(&self, answered: Answered) {
        let Answered {
            took, token, upstream, ..
        } = answered;
        self.took.observe(took.as_secs_f64());
        self.own
            .observe(took.saturating_sub(token).saturating_sub(upstream).as_secs_f64());
        // What most requests don't do has no count of zeros.
        for (histogram, time) in [(&self.token, token), (&self.upstream, upstream)] {
            if !time.is_zero() {
                histogram.observe(time.as_secs_f64());
            }
        }
        let outcome = (answered.status, answered.code);
        let seen = self.by_outcome.load();
        match seen.iter().find(|(seen, _)| *seen == outcome) {
            Some((_, counter)) => counter.inc(),
            None => self.add(outcome).inc(),
        };
    }

    fn add(&self, outcome: Outcome) -> Counter {
        let labels = RequestLabels {
            route: self.route.clone(),
            status: outcome.0.as_u16(),
            code: outcome.1.unwrap_or_default(),
        };
        // Whoever adds the same one at the same time gets the same counter.
        let counter = self.requests.get_or_create(&labels).clone();
        self.by_outcome.rcu(|seen| {
            let mut seen = Vec::clone(seen);
            if !seen.iter().any(|(seen, _)| *seen == outcome) {
                seen.push((outcome, counter.clone()));
            }
            seen
        });
        counter
    }
}
