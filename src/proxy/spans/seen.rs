//! What spans see of a request on its way through the layers.

use std::sync::Arc;

use http::{HeaderMap, Method, Request};

use crate::proxy::route::{Entry, Matched};

/// A request as layers hand it on.
pub trait Seen {
    /// Its method.
    fn method(&self) -> &Method;

    /// Its header fields.
    fn headers(&self) -> &HeaderMap;

    /// Its route, once it has one.
    fn route(&self) -> Option<&Arc<Entry>>;
}

impl<B> Seen for Request<B> {
    fn method(&self) -> &Method {
        self.method()
    }

    fn headers(&self) -> &HeaderMap {
        self.headers()
    }

    fn route(&self) -> Option<&Arc<Entry>> {
        self.extensions().get::<Matched>().map(|matched| &matched.entry)
    }
}
