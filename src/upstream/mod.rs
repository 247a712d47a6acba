//! Connections to upstreams and token endpoints.
//!
//! [`Client`] pools connections for proxied requests; [`Exchange`] makes one token request on a connection of its
//! own, so that a claim can stand between the TLS handshake and the first byte. [`probe`] only looks. All connect alike.

mod bell;
mod certificate;
mod client;
mod connect;
mod error;
mod exchange;
mod line;
mod one_write;
mod pending_read;
mod place;
mod pool;
mod probe;
mod seldom;
mod slots;
mod switch;
mod timer;
mod tls;
mod trust;
mod tunnel;
mod upload;

#[cfg(test)]
mod tests;

pub use client::Client;
pub use error::{SettingsError, UpstreamError};
pub use exchange::{Connection, Exchange, Reply, Sent};
pub use pending_read::PendingRead;
pub use probe::{Seen, SeenTls, probe};
pub use seldom::Seldom;
pub use slots::Room;
pub use tunnel::Proxy;

use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a proxied request or answer: streamed, never held whole by this room.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How long to wait for a connection where the config doesn't say.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for the head of an answer where the config doesn't say.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// How to connect to one upstream or token endpoint.
#[derive(Debug)]
pub struct Settings {
    /// Whom to trust, and who to be.
    pub tls: Tls,
    /// What connections go through.
    pub proxy: Option<Proxy>,
    /// How long a connection may take, name resolution and TLS included.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take once the request is sent, and for how long its body may stand still
    /// before.
    pub response_timeout: Duration,
    /// How many requests there is room for.
    pub room: Room,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tls: Tls::default(),
            proxy: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: RESPONSE_TIMEOUT,
            room: Room::default(),
        }
    }
}

/// TLS settings of a client.
#[derive(Default)]
pub struct Tls {
    /// Certificate authorities besides the platform's.
    pub ca: Vec<CertificateDer<'static>>,
    /// The client certificate's chain and key.
    pub client: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The name to ask for and to verify, instead of the URL's host.
    pub server_name: Option<ServerName<'static>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.len())
            .field("client", &self.client.is_some())
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// The TLS configuration of these settings, for a connection that speaks something else than HTTP.
///
/// # Errors
/// Settings that can't be used together.
pub fn tls_config(tls: &Tls) -> Result<rustls::ClientConfig, SettingsError> {
    let mut config = tls::client_config(tls)?;
    config.alpn_protocols.clear();
    Ok(config)
}
