//! What spans see of a request on its way through the layers.

use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::proxy::{Inbound, route::Entry};

/// A request as layers hand it on.
pub trait Seen {
    /// Its method.
    fn method(&self) -> &Method;

    /// Its header fields.
    fn headers(&self) -> &HeaderMap;

    /// Its route, once it has one.
    fn route(&self) -> Option<&Arc<Entry>>;
}

impl<B> Seen for Inbound<B> {
    fn method(&self) -> &Method {
        &self.head.method
    }

    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    fn route(&self) -> Option<&Arc<Entry>> {
        self.exchange.matched().map(|matched| &matched.entry)
    }
}
