//! Turns every refusal and failure of the layers within into an answer, in one place; a panic too.

use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::{Inbound, ProxyError};
use crate::upstream::Body;

/// Makes [`Rescue`].
#[derive(Debug, Clone, Copy, Default)]
pub struct RescueLayer;

impl<S> Layer<S> for RescueLayer {
    type Service = Rescue<S>;

    fn layer(&self, inner: S) -> Rescue<S> {
        Rescue { inner, unready: None }
    }
}

/// Always answers.
#[derive(Debug, Clone)]
pub struct Rescue<S> {
    inner: S,
    unready: Option<ProxyError>,
}

impl<S, B> Service<Inbound<B>> for Rescue<S>
where
    S: Service<Inbound<B>, Response = Response<Body>, Error = ProxyError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Rescued<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // Whatever keeps a layer from being ready is the next request's answer.
        self.unready = ready!(self.inner.poll_ready(cx)).err();
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, inbound: Inbound<B>) -> Self::Future {
        if let Some(error) = self.unready.take() {
            return Rescued::refused(error);
        }
        // The services within hold shared routes and nothing half-changed, so they outlive a panic.
        match catch_unwind(AssertUnwindSafe(|| self.inner.call(inbound))) {
            Ok(future) => Rescued {
                state: State::Running { future },
            },
            Err(panic) => {
                report(&*panic);
                Rescued::refused(ProxyError::Internal)
            }
        }
    }
}

pin_project! {
    /// The future of [`Rescue`].
    pub struct Rescued<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = Projection]
    enum State<F> {
        // With this answer; `None` once it was given.
        Refused { error: Option<Box<ProxyError>> },
        Running { #[pin] future: F },
    }
}

impl<F> Rescued<F> {
    fn refused(error: ProxyError) -> Self {
        let state = State::Refused {
            error: Some(Box::new(error)),
        };
        Self { state }
    }
}

impl<F> Future for Rescued<F>
where
    F: Future<Output = Result<Response<Body>, ProxyError>>,
{
    type Output = Result<Response<Body>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        let answer = match state.as_mut().project() {
            Projection::Refused { error } => Err(error.take().map_or(ProxyError::Internal, |error| *error)),
            Projection::Running { future } => match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
                Ok(answer) => ready!(answer),
                Err(panic) => {
                    report(&*panic);
                    // Nothing of the request is polled again.
                    state.set(State::Refused { error: None });
                    Err(ProxyError::Internal)
                }
            },
        };
        Poll::Ready(Ok(answer.unwrap_or_else(|error| error.answer())))
    }
}

/// A panic's words may quote what it worked on, so only those that are fixed in the code are told.
fn report(panic: &(dyn Any + Send)) {
    let words = panic
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("(words withheld)");
    tracing::error!(target: "bearerd::request", panic = words, "a request failed on a fault in bearerd");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::error::ERROR_HEADER;
    use http::Request;
    use http_body_util::BodyExt;
    use tower::{ServiceExt, service_fn};

    #[tokio::test]
    async fn a_refusal_becomes_a_problem() {
        let inner = service_fn(|_: Inbound<()>| async { Err(ProxyError::bad_request("say it once")) });
        let response = RescueLayer
            .layer(inner)
            .oneshot(Inbound::new(Request::new(()), None))
            .await
            .unwrap();
        assert_eq!(response.status(), 400);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "bad_request");
        assert_eq!(problem["detail"], "say it once");
        assert_eq!(problem["status"], 400);
    }

    #[tokio::test]
    async fn law_9_a_panic_is_an_answer_without_its_words() {
        let inner = service_fn(|inbound: Inbound<String>| async move {
            tokio::task::yield_now().await;
            panic!("canary {}", inbound.body);
        });
        let response = RescueLayer
            .layer(inner)
            .oneshot(Inbound::new(Request::new("secret".to_owned()), None))
            .await
            .unwrap();
        assert_eq!(response.headers()[ERROR_HEADER], "internal");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("canary"));
    }
}
