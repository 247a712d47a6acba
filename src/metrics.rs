//! The metric families, all of low cardinality: names from the config and fixed words, never a path or a subject.

mod route;
mod upstream;

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::name::{CredentialName, RouteName, UpstreamName};

use route::RouteFamilies;
pub use route::{Answered, RouteCounts};
use upstream::Upstreams;
pub use upstream::Usage;

/// The route label of a request that no route wanted.
const NO_ROUTE: &str = "-";

/// The outcomes of reading a config while running.
const APPLIED: &str = "applied";
const REFUSED: &str = "refused";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CredentialLabels {
    credential: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GrantLabels {
    credential: String,
    grant: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    outcome: &'static str,
}

/// Every metric of the program.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    routes: RouteFamilies,
    upstreams: Upstreams,
    unrouted: RouteCounts,
    replays: Family<RouteLabels, Counter>,
    grants: Family<GrantLabels, Counter>,
    spends: Family<CredentialLabels, Counter>,
    in_doubt: Family<CredentialLabels, Counter>,
    usable: Family<CredentialLabels, Gauge>,
    generation: Family<CredentialLabels, Gauge>,
    expires: Family<CredentialLabels, Gauge>,
    grant_ends: Family<CredentialLabels, Gauge>,
    unsaved: Family<CredentialLabels, Gauge>,
    log_dropped: Counter,
    config_reloads: Family<ReloadLabels, Counter>,
    config_stale: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All families, empty.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("bearerd");
        let build: Family<BuildLabels, Gauge> = Family::default();
        let version = env!("CARGO_PKG_VERSION");
        build.get_or_create(&BuildLabels { version }).set(1);
        registry.register("build_info", "What runs: 1, for its version", build);
        let routes = RouteFamilies::new(&mut registry);
        let upstreams = Upstreams::default();
        registry.register_collector(Box::new(upstreams.clone()));
        let replays = Family::default();
        registry.register(
            "replays",
            "Requests sent a second time with a renewed token",
            replays.clone(),
        );
        let grants = Family::default();
        registry.register("grants", "Token requests, by grant and outcome", grants.clone());
        let spends = Family::default();
        registry.register("spends", "Refresh tokens sent", spends.clone());
        let in_doubt = Family::default();
        registry.register("in_doubt", "Spends whose outcome nobody knows", in_doubt.clone());
        let usable = Family::default();
        registry.register(
            "token_usable",
            "Credentials' subjects that hold a usable token",
            usable.clone(),
        );
        let generation = Family::default();
        registry.register(
            "token_generation",
            "The generation of the held token",
            generation.clone(),
        );
        let expires = Family::default();
        registry.register(
            "token_expires_timestamp_seconds",
            "When the held token expires, in seconds since the Unix epoch; 0 where it doesn't say",
            expires.clone(),
        );
        let grant_ends = Family::default();
        registry.register(
            "grant_dies_timestamp_seconds",
            "When a person has to sign in again unless the grant is renewed before, in seconds since the Unix epoch; \
             0 where nothing says so or nobody is needed",
            grant_ends.clone(),
        );
        let unsaved = Family::default();
        registry.register(
            "tokens_unsaved",
            "Tokens in use that the store has not taken yet",
            unsaved.clone(),
        );
        let log_dropped = Counter::default();
        registry.register(
            "log_lines_dropped",
            "Log lines dropped because their writer was behind",
            log_dropped.clone(),
        );
        let config_reloads: Family<ReloadLabels, Counter> = Family::default();
        registry.register(
            "config_reloads",
            "Configs read while running, by outcome: applied, refused",
            config_reloads.clone(),
        );
        // Both are there from the start, so that an alert sees the first one as a change.
        for outcome in [APPLIED, REFUSED] {
            drop(config_reloads.get_or_create(&ReloadLabels { outcome }));
        }
        let config_stale = Gauge::default();
        registry.register(
            "config_stale",
            "Whether the config in use is older than the one on disk, which can't be used: 1 or 0",
            config_stale.clone(),
        );
        Self {
            registry,
            unrouted: RouteCounts::new(NO_ROUTE, &routes),
            routes,
            upstreams,
            replays,
            grants,
            spends,
            in_doubt,
            usable,
            generation,
            expires,
            grant_ends,
            unsaved,
            log_dropped,
            config_reloads,
            config_stale,
        }
    }

    /// Where the requests of a route are counted: to be kept by whoever counts them.
    pub fn route(&self, route: &RouteName) -> Arc<RouteCounts> {
        Arc::new(RouteCounts::new(route.as_str(), &self.routes))
    }

    /// These are the upstreams of the config in use.
    pub fn upstreams<'u>(&self, upstreams: impl Iterator<Item = (&'u UpstreamName, Arc<dyn Usage>)>) {
        self.upstreams
            .set(upstreams.map(|(name, usage)| (name.to_string(), usage)).collect());
    }

    /// Where requests are counted that no route wanted.
    pub fn unrouted(&self) -> &RouteCounts {
        &self.unrouted
    }

    /// A request was sent a second time.
    pub fn replay(&self, route: &RouteName) {
        self.replays
            .get_or_create(&RouteLabels {
                route: route.to_string(),
            })
            .inc();
    }

    /// A token request ended: `grant` is `sign_in`, `refresh` or `step`; `outcome` a fixed word.
    pub fn grant(&self, credential: &CredentialName, grant: &'static str, outcome: &'static str) {
        self.grants
            .get_or_create(&GrantLabels {
                credential: credential.to_string(),
                grant,
                outcome,
            })
            .inc();
    }

    /// A refresh token is about to be sent.
    pub fn spend(&self, credential: &CredentialName) {
        self.spends.get_or_create(&Self::credential(credential)).inc();
    }

    /// A spend's outcome is unknown.
    pub fn in_doubt(&self, credential: &CredentialName) {
        self.in_doubt.get_or_create(&Self::credential(credential)).inc();
    }

    /// The held token of a credential without subjects changed.
    pub fn token(&self, credential: &CredentialName, usable: bool, generation: u64, expires_wall_ms: Option<u64>) {
        let labels = Self::credential(credential);
        self.usable.get_or_create(&labels).set(i64::from(usable));
        self.generation.get_or_create(&labels).set(generation as i64);
        self.expires
            .get_or_create(&labels)
            .set(expires_wall_ms.map_or(0, |ms| (ms / 1000) as i64));
    }

    /// When the grant of a credential without subjects ends, so that a person is needed.
    pub fn grant_dies(&self, credential: &CredentialName, wall_ms: Option<u64>) {
        self.grant_ends
            .get_or_create(&Self::credential(credential))
            .set(wall_ms.map_or(0, |ms| (ms / 1000) as i64));
    }

    /// How many tokens in use are not saved.
    pub fn unsaved(&self, credential: &CredentialName, change: i64) {
        self.unsaved.get_or_create(&Self::credential(credential)).inc_by(change);
    }

    /// A log line was dropped.
    pub fn log_dropped(&self) {
        self.log_dropped.inc();
    }

    /// The config was read again: whether it is in use now.
    pub fn config_reload(&self, applied: bool) {
        let outcome = if applied { APPLIED } else { REFUSED };
        self.config_reloads.get_or_create(&ReloadLabels { outcome }).inc();
        self.config_stale.set(i64::from(!applied));
    }

    /// A credential is gone from the config: its counts stay, and nothing more is said of its token.
    pub fn forget(&self, credential: &CredentialName) {
        let labels = Self::credential(credential);
        for gauges in [&self.usable, &self.generation, &self.expires, &self.grant_ends] {
            gauges.remove(&labels);
        }
    }

    /// The page, in the OpenMetrics text format.
    pub fn page(&self) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }

    fn credential(credential: &CredentialName) -> CredentialLabels {
        CredentialLabels {
            credential: credential.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    #[test]
    fn the_page_counts_by_route_and_status() {
        let metrics = Metrics::new();
        let route = "fluent".parse().unwrap();
        let counts = metrics.route(&route);
        counts.request(Answered::new(StatusCode::OK, Duration::from_millis(3)));
        counts.request(Answered::new(StatusCode::OK, Duration::from_millis(3)));
        counts.request(Answered::new(StatusCode::NOT_FOUND, Duration::from_millis(3)));
        let page = metrics.page();
        assert!(
            page.contains(r#"bearerd_requests_total{route="fluent",status="200",code=""} 2"#),
            "{page}"
        );
        assert!(page.ends_with("# EOF\n"));
    }
}
