//! The client that spans are sent to their collector with: the one that upstreams are called with.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

use super::super::Failure;
use crate::{assemble, config::checked, traces, upstream};

/// How long one delivery may take, its answer included.
const DELIVERY: Duration = Duration::from_secs(10);
/// The most of an answer that is read: it says how many spans were refused, and why.
const ANSWER: usize = 64 * 1024;

/// Starts traces, where the config has any. Must be called within the runtime that delivers them.
pub(super) fn start(settings: Option<&checked::Traces>) -> Result<Option<traces::Traces>, Failure> {
    let Some(settings) = settings else { return Ok(None) };
    let url = &settings.collector;
    let connections = upstream::Settings {
        tls: assemble::tls(&settings.tls),
        proxy: settings.proxy.as_ref().map(assemble::proxy),
        ..upstream::Settings::default()
    };
    let client = upstream::Client::new(&connections, &url.origin()).map_err(Failure::failed)?;
    let sender = Sender {
        client,
        runtime: Handle::current(),
        fails: AtomicBool::new(false),
    };
    let base = format!("{}://{}{}", url.scheme, url.authority, url.path);
    traces::start(&base, settings.sample, sender)
        .map(Some)
        .map_err(Failure::failed)
}

/// Delivers the last spans, while the runtime goes on.
pub(super) async fn stop(traces: Option<traces::Traces>) {
    if let Some(traces) = traces {
        // It only fails where the runtime has ended.
        let _ = tokio::task::spawn_blocking(|| traces.stop()).await;
    }
}

/// Sends from the exporter's own thread, on the runtime.
struct Sender {
    client: upstream::Client,
    runtime: Handle,
    /// Whether the last delivery failed: only a change is told.
    fails: AtomicBool,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.client)
    }
}

type Delivery<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'a>>;

impl HttpClient for Sender {
    fn send_bytes<'a, 'd>(&'a self, request: Request<Bytes>) -> Delivery<'d>
    where
        'a: 'd,
        Self: 'd,
    {
        let client = self.client.clone();
        let delivery = self.runtime.spawn(async move {
            match tokio::time::timeout(DELIVERY, deliver(client, request)).await {
                Ok(outcome) => outcome,
                Err(late) => Err(late.into()),
            }
        });
        Box::pin(async move {
            let outcome = match delivery.await {
                Ok(outcome) => outcome,
                Err(error) => Err(error.into()),
            };
            self.tell(&outcome);
            outcome
        })
    }
}

async fn deliver(client: upstream::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let request = request.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    let (head, mut body) = match client.send(request).await {
        Ok(answer) => answer.into_parts(),
        Err(error) => return Err(error.into()),
    };
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        read.extend(frame?.into_data().ok());
        if read.len() > ANSWER {
            return Err("the collector's answer is too long".into());
        }
    }
    Ok(Response::from_parts(head, read.freeze()))
}

impl Sender {
    /// Tells when deliveries begin to fail, and when they are taken again.
    fn tell(&self, outcome: &Result<Response<Bytes>, HttpError>) {
        let why = match outcome {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("the collector answered {}", answer.status())),
            Err(error) => Some(error.to_string()),
        };
        let failed = self.fails.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(why) if !failed => {
                tracing::warn!(%why, "traces can't be delivered, and are lost meanwhile: see traces.otlp")
            }
            None if failed => tracing::info!("traces are delivered again"),
            _ => {}
        }
    }
}
