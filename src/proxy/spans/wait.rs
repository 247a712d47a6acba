//! The span of a wait for a token: there is none where one is held.

use std::future::Future;

use opentelemetry::{
    Context, KeyValue,
    trace::{FutureExt, Status, TraceContextExt, Tracer},
};

use crate::{manager::TokenError, proxy::ProxyError, traces};

/// Waits within a span of its own, inside the current one.
pub(in crate::proxy) async fn waiting<T>(wait: impl Future<Output = Result<T, TokenError>>) -> Result<T, TokenError> {
    let Some(tracer) = traces::tracer() else {
        return wait.await;
    };
    let context = Context::current_with_span(tracer.start("token"));
    let outcome = wait.with_context(context.clone()).await;
    let span = context.span();
    if let Err(error) = &outcome {
        let code = ProxyError::Token(error.clone()).code();
        span.set_attribute(KeyValue::new("error.type", code.as_str()));
        span.set_status(Status::error(""));
    }
    span.end();
    outcome
}
