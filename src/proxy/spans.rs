//! Spans of each request: the request itself, its wait for a token, and each call of its upstream.
//!
//! They are compiled with the feature `otlp`. Without it the layers here are tower's `Identity`, which adds nothing to
//! the stack's type, and `waiting` gives back its argument: a request costs what it costs without this file.
//!
//! No attribute holds a path, a query, a subject or a header field but the request's id: the access line, which has the
//! path as it may be told, is found by that.

#[cfg(feature = "otlp")]
mod calls;
#[cfg(feature = "otlp")]
mod requests;
#[cfg(feature = "otlp")]
mod routes;
#[cfg(feature = "otlp")]
mod seen;
#[cfg(feature = "otlp")]
mod wait;

#[cfg(feature = "otlp")]
pub(super) use self::wait::waiting;
#[cfg(feature = "otlp")]
pub use self::{
    calls::{Calls, of_calls},
    requests::{Requests, of_requests},
    routes::{Routes, of_routes},
};

#[cfg(not(feature = "otlp"))]
pub(super) use off::*;

#[cfg(not(feature = "otlp"))]
mod off {
    use tower::layer::util::Identity;

    use crate::name::ListenerName;

    pub(in crate::proxy) type Requests<S> = S;
    pub(in crate::proxy) type Routes<S> = S;
    pub(in crate::proxy) type Calls<S> = S;

    pub(in crate::proxy) const fn of_requests(_: &ListenerName) -> Identity {
        Identity::new()
    }

    pub(in crate::proxy) const fn of_routes() -> Identity {
        Identity::new()
    }

    pub(in crate::proxy) const fn of_calls() -> Identity {
        Identity::new()
    }

    pub(in crate::proxy) fn waiting<F>(wait: F) -> F {
        wait
    }
}
