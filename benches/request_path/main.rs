//! What runs for each request, piece by piece: `cargo bench --bench request_path`.
//!
//! Times drift with the machine; `benches/instructions` counts, and `benches/compare` measures the whole.

#![allow(missing_docs, reason = "criterion's macros make public functions without words")]

mod stage;

use std::{hint::black_box, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bearerd::{
    credential::placement::{Injection, put_header, rewrite_form, rewrite_query},
    metrics::Answered,
    proxy::{
        Inbound, ProxyError, Router,
        authorize::AuthorizeLayer,
        forward::{Answer, Outbound},
        guard::{Caller, admit},
        normalise::NormaliseLayer,
        rewrite::RewriteLayer,
        route::{Matched, RouteLayer},
        trace::TraceLayer,
    },
    upstream::Body,
};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{HeaderMap, Method, Response, StatusCode, header::AUTHORIZATION};
use http_body_util::BodyExt;
use secrecy::{ExposeSecret, SecretString};
use tower::{Layer, Service, service_fn};

use stage::{PATH, Stage, empty, full, now, request};

/// Answers at once, and drops what it is given.
async fn answer(inbound: Inbound<Body>) -> Result<Response<()>, ProxyError> {
    drop(inbound);
    Ok(Response::new(()))
}

/// Reads the body as the upstream's connection does, and answers.
fn read(Outbound { request, .. }: Outbound) -> Answer {
    Box::pin(async {
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            drop(frame);
        }
        Ok(Response::new(empty()))
    })
}

fn routes(c: &mut Criterion) {
    let mut group = c.benchmark_group("route lookup");
    for count in [1, 100, 10_000] {
        let router: Arc<ArcSwap<Router>> = Stage::new(count).router;
        let router = router.load_full();
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| {
                router
                    .find(black_box(Some("127.0.0.1")), &Method::GET, black_box(PATH))
                    .unwrap()
            });
        });
    }
}

fn guard(c: &mut Criterion) {
    let stage = Stage::new(1);
    let router = stage.router.load_full();
    let request = request(empty());
    c.bench_function("guard", |b| {
        b.iter(|| admit(black_box(&request), router.listener(), |host| router.knows_host(host)).unwrap());
    });
}

fn normalise(c: &mut Criterion) {
    let mut service = NormaliseLayer.layer(service_fn(answer));
    c.bench_function("normalise", |b| {
        b.iter_batched(
            || request(empty()),
            |request| now(service.call(request)),
            BatchSize::SmallInput,
        );
    });
}

/// What the layers above tell the layer that is measured.
fn told(stage: &Stage) -> (Caller, Matched) {
    let router = stage.router.load_full();
    let caller = admit(&request(empty()), router.listener(), |host| router.knows_host(host)).unwrap();
    let matched = router.find(caller.host.as_deref(), &Method::GET, PATH).unwrap();
    (caller, matched)
}

fn route_layer(c: &mut Criterion) {
    let stage = Stage::new(1);
    let (caller, _) = told(&stage);
    let mut service = RouteLayer.layer(service_fn(answer));
    c.bench_function("route, with its checks", |b| {
        b.iter_batched(
            || {
                let mut inbound = request(empty());
                inbound.exchange.found_caller(caller.clone());
                inbound.router = Some(stage.router.load());
                inbound
            },
            |request| now(service.call(request)),
            BatchSize::SmallInput,
        );
    });
}

fn rewrite(c: &mut Criterion) {
    let stage = Stage::new(1);
    let (caller, matched) = told(&stage);
    let mut service = RewriteLayer.layer(service_fn(answer));
    c.bench_function("rewrite", |b| {
        b.iter_batched(
            || {
                let inbound = request(empty());
                inbound.exchange.found_caller(caller.clone());
                inbound.exchange.found_route(matched.clone());
                inbound
            },
            |request| now(service.call(request)),
            BatchSize::SmallInput,
        );
    });
}

fn token(c: &mut Criterion) {
    let stage = Stage::new(1);
    let patience = Duration::from_secs(10);
    let handle = stage
        .runtime
        .block_on(stage.manager("api").handle(&[], patience))
        .unwrap();
    // The first use signs in.
    stage.runtime.block_on(handle.token(patience)).unwrap();
    c.bench_function("token from the handle", |b| {
        b.iter(|| now(black_box(&handle).token(patience)).unwrap());
    });
    let manager = stage.manager("api").clone();
    c.bench_function("handle and token", |b| {
        b.iter(|| {
            let handle = now(black_box(&manager).handle(&[], patience)).unwrap();
            now(handle.token(patience)).unwrap()
        });
    });
}

fn injection(c: &mut Criterion) {
    let mut group = c.benchmark_group("injection");
    let token = SecretString::from("t".repeat(64));
    let header = {
        let mut value = http::HeaderValue::try_from(format!("Bearer {}", token.expose_secret())).unwrap();
        value.set_sensitive(true);
        value
    };
    let headers = request(empty()).head.headers.clone();
    for (placement, name) in [
        ("bearer", AUTHORIZATION),
        ("another header", http::HeaderName::from_static("x-session")),
    ] {
        group.bench_function(placement, |b| {
            b.iter_batched(
                || headers.clone(),
                |mut headers: HeaderMap| {
                    put_header(&mut headers, &name, &header);
                    headers
                },
                BatchSize::SmallInput,
            );
        });
    }
    let pair = format!("api_key={}", token.expose_secret());
    let query = "expand=lines&api_key=the-callers-own&page=2";
    group.bench_function("query", |b| {
        b.iter(|| rewrite_query(black_box(Some(query)), "api_key", &pair))
    });
    let form = "name=Ole&api_key=the-callers-own&note=".to_owned() + &"x".repeat(1024);
    group.bench_function("form of 1 KiB", |b| {
        b.iter(|| rewrite_form(black_box(form.as_bytes()), "api_key", &pair))
    });
    // Once for each generation, not for each request; here to show that it is worth keeping.
    let stage = Stage::new(1);
    let placement = &stage.manager("api").spec().placement;
    group.bench_function("made from a token", |b| {
        b.iter(|| -> Injection { placement.inject_from(black_box(&token)).unwrap() });
    });
}

/// Authorize over a service that reads the whole body: what keeping it for a replay costs.
fn replay(c: &mut Criterion) {
    let stage = Stage::new(1);
    let patience = Duration::from_secs(10);
    let handle = stage
        .runtime
        .block_on(stage.manager("api").handle(&[], patience))
        .unwrap();
    stage.runtime.block_on(handle.token(patience)).unwrap();
    let (_, matched) = told(&stage);
    let mut service = AuthorizeLayer::new(stage.metrics.clone(), stage.clock.clone()).layer(service_fn(read));
    let mut group = c.benchmark_group("authorize and read a body");
    for size in [0, 1024, 16 * 1024, 256 * 1024] {
        let bytes = Bytes::from(vec![b'x'; size]);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_batched(
                || {
                    let inbound = request(full(&bytes));
                    inbound.exchange.found_route(matched.clone());
                    inbound
                },
                |request| now(service.call(request)).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
}

fn metrics(c: &mut Criterion) {
    let stage = Stage::new(100);
    let counts = stage.metrics.route(&told(&stage).1.entry.name);
    c.bench_function("metrics of a request", |b| {
        b.iter(|| counts.request(Answered::new(black_box(StatusCode::OK), Duration::from_micros(750))));
    });
}

/// The trace layer without a log, then with one. Last of all: a process has one log, and it stays.
fn trace(c: &mut Criterion) {
    let stage = Stage::new(1);
    let layer = TraceLayer::new("main".parse().unwrap(), stage.metrics.clone(), stage.clock.clone());
    let mut service = layer.layer(service_fn(|inbound: Inbound<Body>| async move {
        drop(inbound);
        Ok::<_, std::convert::Infallible>(Response::new(()))
    }));
    let mut measure = |name: &str| {
        c.bench_function(name, |b| {
            b.iter_batched(
                || request(empty()),
                |request| now(service.call(request)),
                BatchSize::SmallInput,
            );
        });
    };
    measure("trace without a log");
    let settings = bearerd::log::Settings {
        format: Some(bearerd::log::Format::Json),
        level: "info".into(),
        file: Some("/dev/null".into()),
        access: true,
    };
    let flush = bearerd::log::start(&settings, stage.clock.clone(), || {}).unwrap();
    measure("trace with an access line");
    drop(flush);
}

criterion_group!(
    benches,
    routes,
    guard,
    normalise,
    route_layer,
    rewrite,
    token,
    injection,
    replay,
    metrics,
    trace
);
criterion_main!(benches);
