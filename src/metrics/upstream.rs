//! How far upstreams are used, looked up when the page is asked for: requests count nothing for it.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// What can be said of an upstream just now.
pub trait Usage: Send + Sync {
    /// Connections that wait for their next request.
    fn idle_connections(&self) -> usize;
    /// Requests under way, from a connection's search to the end of the answer.
    fn under_way(&self) -> usize;
    /// Requests that wait for their place.
    fn waiting(&self) -> usize;
}

/// The upstreams of the config in use.
#[derive(Clone, Default)]
pub(super) struct Upstreams(Arc<Mutex<Vec<Named>>>);

/// An upstream by its name.
pub(super) type Named = (String, Arc<dyn Usage>);

impl std::fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Upstreams")
    }
}

impl Upstreams {
    pub(super) fn set(&self, upstreams: Vec<Named>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = upstreams;
    }
}

impl Collector for Upstreams {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        type Look = fn(&dyn Usage) -> usize;
        let families: [(&str, &str, Look); 3] = [
            (
                "upstream_connections_idle",
                "Connections to an upstream that wait for their next request",
                |usage| usage.idle_connections(),
            ),
            (
                "upstream_requests_under_way",
                "Requests that an upstream has, or is about to have",
                |usage| usage.under_way(),
            ),
            (
                "upstream_requests_waiting",
                "Requests that wait until an upstream has fewer under way",
                |usage| usage.waiting(),
            ),
        ];
        let upstreams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if upstreams.is_empty() {
            return Ok(());
        }
        for (name, help, look) in families {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (upstream, usage) in &*upstreams {
                let gauge = ConstGauge::new(look(&**usage) as i64);
                gauge.encode(family.encode_family(&[("upstream", upstream.as_str())])?)?;
            }
        }
        Ok(())
    }
}
