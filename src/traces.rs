//! Traces: one tracer for the process, and what a trace context looks like on the wire (W3C Trace Context).
//!
//! Compiled with the feature `otlp` only. Until [`start`] is called, [`tracer`] is `None` and nothing is traced.

use std::{sync::OnceLock, time::Duration};

use http::HeaderMap;
use opentelemetry::{Context, KeyValue, propagation::TextMapPropagator, trace::TracerProvider as _};
use opentelemetry_http::{HeaderExtractor, HeaderInjector, HttpClient};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider},
};

/// The path of this signal under a collector's base URL (OTLP 1.0, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";
/// The field of vendors' own parts of a trace context (W3C Trace Context §3.3).
const TRACESTATE: &str = "tracestate";
/// How long the last spans may take to be delivered when the program ends.
const LAST: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Traces can't be sent.
#[derive(Debug, thiserror::Error)]
#[error("traces can't be sent: {0}")]
pub struct TracesError(String);

/// Where spans are delivered from, until it is stopped.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

/// Sends spans to the collector at this base URL, over this client. `sample` is the share of requests that is traced
/// where their callers don't say, from 0 to 1. The first call of a process counts.
///
/// # Errors
/// A URL that can't be used.
pub fn start(collector: &str, sample: f64, client: impl HttpClient + 'static) -> Result<Traces, TracesError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}{PATH}", collector.trim_end_matches('/')))
        .build()
        .map_err(|error| TracesError(error.to_string()))?;
    let resource = Resource::builder()
        .with_service_name(env!("CARGO_PKG_NAME"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let provider = SdkTracerProvider::builder()
        // What the caller decided holds for its whole trace.
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(sample))))
        .with_resource(resource)
        .with_batch_exporter(exporter)
        .build();
    let _ = TRACER.set(provider.tracer(env!("CARGO_PKG_NAME")));
    Ok(Traces(provider))
}

impl Traces {
    /// Delivers what there is. Blocks, for three seconds at most; the client must be able to send meanwhile.
    pub fn stop(self) {
        // What can't be delivered by then is lost, and the client has said why.
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}

/// The tracer, once there is one.
pub fn tracer() -> Option<&'static SdkTracer> {
    TRACER.get()
}

/// The trace that these header fields continue; a new one where they name none that can be read.
pub fn extract(headers: &HeaderMap) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(headers))
}

/// Puts this span into the header fields, in the place of what was there.
pub fn inject(context: &Context, headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
    TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
    // The propagator writes it empty where there is none.
    if headers.get(TRACESTATE).is_some_and(|state| state.is_empty()) {
        headers.remove(TRACESTATE);
    }
}
