//! Each request's id: the caller's own, if it is one that can stand in a log line, else a fresh one; on its answer too.

use std::{
    future::Future,
    hash::{BuildHasher, RandomState},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::Entry};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::Inbound;

/// The field that carries it, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are somebody's payload.
const LONGEST: usize = 128;

/// Makes [`WithRequestId`].
#[derive(Debug, Clone, Default)]
pub struct RequestIdLayer {
    fresh: FreshIds,
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = WithRequestId<S>;

    fn layer(&self, inner: S) -> WithRequestId<S> {
        WithRequestId {
            inner,
            fresh: self.fresh.clone(),
        }
    }
}

/// Gives each request one id, and its answer the same.
#[derive(Debug, Clone)]
pub struct WithRequestId<S> {
    inner: S,
    fresh: FreshIds,
}

impl<S, B, R> Service<Inbound<B>> for WithRequestId<S>
where
    S: Service<Inbound<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Identified<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut inbound: Inbound<B>) -> Self::Future {
        let headers = &mut inbound.head.headers;
        // The credential's field comes later: the table grows once for both.
        headers.reserve(2);
        let id = match headers.entry(REQUEST_ID) {
            Entry::Occupied(own) if own.iter().nth(1).is_none() && is_sane(own.get().as_bytes()) => own.get().clone(),
            Entry::Occupied(mut own) => {
                let id = self.fresh.next();
                own.insert(id.clone());
                id
            }
            Entry::Vacant(none) => none.insert(self.fresh.next()).clone(),
        };
        inbound.found_id(id.clone());
        Identified {
            answer: self.inner.call(inbound),
            id: Some(id),
        }
    }
}

pin_project! {
    /// The future of [`WithRequestId`].
    pub struct Identified<F> {
        #[pin]
        answer: F,
        // Until the answer has it.
        id: Option<HeaderValue>,
    }
}

impl<F, R, E> Future for Identified<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answer.poll(cx));
        if let (Ok(response), Some(id)) = (&mut answer, this.id.take()) {
            // An upstream's own is the better one: it stands in the upstream's log.
            response.headers_mut().entry(REQUEST_ID).or_insert(id);
        }
        Poll::Ready(answer)
    }
}

fn is_sane(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    !id.is_empty() && id.len() <= LONGEST && id.iter().all(is_plain)
}

/// Makes ids that no other process and no other request has: to be found by, not to be kept secret, so they cost no
/// call of the system. Clones share the count.
#[derive(Debug, Clone)]
struct FreshIds {
    process: [u8; 16],
    count: Arc<AtomicU64>,
}

impl Default for FreshIds {
    fn default() -> Self {
        Self {
            process: hexadecimal(RandomState::new().hash_one("request id")),
            count: Arc::default(),
        }
    }
}

impl FreshIds {
    fn next(&self) -> HeaderValue {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        text[..16].copy_from_slice(&self.process);
        text[16..].copy_from_slice(&hexadecimal(count));
        // Shared by the request, its line and its answer. Hexadecimal digits can stand in a header.
        HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or(HeaderValue::from_static("-"))
    }
}

fn hexadecimal(number: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 0xF])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_ids_are_the_same() {
        let (one, other) = (FreshIds::default(), FreshIds::default());
        let ids = [one.next(), one.clone().next(), one.next(), other.next()];
        for (at, id) in ids.iter().enumerate() {
            assert!(is_sane(id.as_bytes()) && id.len() == 32);
            assert!(!ids[..at].contains(id));
        }
    }

    #[test]
    fn ids_that_could_forge_a_log_line_are_not_kept() {
        assert!(is_sane(b"4bf92f35-77b3/4da6:a.b_c+d="));
        for odd in [&b""[..], b"a b", b"a\"b", b"a\tb", b"caf\xc3\xa9", &[b'a'; 129]] {
            assert!(!is_sane(odd), "{odd:?}");
        }
    }
}
