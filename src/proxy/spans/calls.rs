//! The span of each call of an upstream, which the upstream is told as its parent.

use std::task::{Context as Task, Poll};

use http::Response;
use opentelemetry::{
    Context, KeyValue,
    trace::{FutureExt, SpanKind, Status, TraceContextExt, Tracer},
};
use tower::{Layer, Service};

use crate::{
    proxy::{
        ProxyError,
        forward::{Answer, Outbound},
    },
    traces,
    upstream::Body,
};

/// A layer right before the upstream's client.
pub const fn of_calls() -> CallsLayer {
    CallsLayer
}

/// Makes [`Calls`].
#[derive(Debug, Clone, Copy)]
pub struct CallsLayer;

impl<S> Layer<S> for CallsLayer {
    type Service = Calls<S>;

    fn layer(&self, inner: S) -> Calls<S> {
        Calls(inner)
    }
}

/// Gives each call a span within the current one.
#[derive(Debug, Clone)]
pub struct Calls<S>(S);

impl<S> Service<Outbound> for Calls<S>
where
    S: Service<Outbound, Response = Response<Body>, Error = ProxyError, Future = Answer>,
{
    type Response = Response<Body>;
    type Error = ProxyError;
    type Future = Answer;

    fn poll_ready(&mut self, cx: &mut Task<'_>) -> Poll<Result<(), ProxyError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut outbound: Outbound) -> Answer {
        let Some(tracer) = traces::tracer() else {
            return self.0.call(outbound);
        };
        let method = outbound.request.method().as_str();
        let authority = &outbound.target.base.authority;
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.to_owned()),
            KeyValue::new("server.address", authority.host().to_owned()),
            KeyValue::new("bearerd.upstream", outbound.target.name.to_string()),
        ];
        attributes.extend(
            authority
                .port_u16()
                .map(|port| KeyValue::new("server.port", i64::from(port))),
        );
        let span = tracer
            .span_builder(method.to_owned())
            .with_kind(SpanKind::Client)
            .with_attributes(attributes);
        let parent = Context::current();
        let context = parent.with_span(tracer.build_with_context(span, &parent));
        traces::inject(&context, outbound.request.headers_mut());
        let answer = self.0.call(outbound);
        Box::pin(async move {
            let outcome = answer.with_context(context.clone()).await;
            let span = context.span();
            match &outcome {
                Ok(answer) => {
                    let status = answer.status();
                    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(status.as_u16())));
                    // What a client was told of (OpenTelemetry's conventions for HTTP).
                    if status.is_client_error() || status.is_server_error() {
                        span.set_status(Status::error(""));
                    }
                }
                Err(error) => {
                    span.set_attribute(KeyValue::new("error.type", error.code().as_str()));
                    span.set_status(Status::error(""));
                }
            }
            span.end();
            outcome
        })
    }
}
