//! A look at an endpoint: a connection, and what its other end shows. Nothing is sent over it.

use std::net::SocketAddr;

use http::Uri;
use tokio_util::either::Either;

use super::{Settings, SettingsError, UpstreamError, certificate, connect::Connector};

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where the connection went, once the name was resolved.
    pub address: Option<SocketAddr>,
    /// What TLS showed; `None` without it.
    pub tls: Option<SeenTls>,
}

/// What TLS showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTls {
    /// Its version, as people write it.
    pub version: &'static str,
    /// When the first of its certificates ends, in milliseconds since the Unix epoch.
    pub expires: Option<u64>,
}

/// Connects to the URI's host, TLS included, and hangs up.
///
/// # Errors
/// The settings can't be used together; or the name, the connection or TLS fails, in words that say which.
pub async fn probe(settings: &Settings, uri: &Uri) -> Result<Result<Seen, UpstreamError>, SettingsError> {
    let connector = Connector::new(settings)?;
    let seen = connector.connect(uri.clone()).await;
    Ok(seen.map(|stream| match stream.inner() {
        Either::Right(tcp) => Seen {
            address: tcp.stream().peer_addr().ok(),
            tls: None,
        },
        Either::Left(tls) => {
            let (tcp, session) = tls.get_ref();
            let ends = session.peer_certificates().unwrap_or_default().iter();
            Seen {
                address: tcp.stream().peer_addr().ok(),
                tls: Some(SeenTls {
                    version: match session.protocol_version() {
                        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
                        _ => "TLS 1.3",
                    },
                    expires: ends.filter_map(|certificate| certificate::expiry(certificate)).min(),
                }),
            }
        }
    }))
}
