//! What is known of the connection that a request came on.

use std::{net::SocketAddr, sync::Arc};

use aws_lc_rs::digest;
use rustls_pki_types::CertificateDer;

/// A connection, as whoever accepted it describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The end on this side.
    pub local: Address,
    /// The caller's end.
    pub peer: Address,
    /// Whether callers speak TLS to us, so that their URLs begin with `https`.
    pub tls: bool,
    /// What it proves of the caller.
    pub proof: Proof,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Of a TCP connection.
    Tcp(SocketAddr),
    /// Of a Unix socket, which has no host to be called by.
    Unix,
}

/// What a connection itself proves of who is at its other end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Proof {
    /// The certificate that was verified in the handshake.
    pub certificate: Option<Arc<Certificate>>,
    /// The process that connected to a Unix socket.
    pub process: Option<Process>,
}

/// The process at the other end of a Unix socket (SO_PEERCRED, unix(7)), as it was when it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its effective user id.
    pub user: u32,
    /// Its effective group id; the system doesn't tell its other groups.
    pub group: u32,
}

/// Whom a client certificate names (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The DNS names, in lower case.
    pub dns: Vec<String>,
    /// The URIs, as they are written.
    pub uris: Vec<String>,
    /// The SHA-256 digest of the whole certificate.
    pub sha256: [u8; 32],
}

impl Certificate {
    /// Reads a certificate that was verified; `None` if it isn't one.
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = webpki::EndEntityCert::try_from(der).ok()?;
        Some(Self {
            dns: certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            uris: certificate.valid_uri_names().map(ToOwned::to_owned).collect(),
            sha256: digest::digest(&digest::SHA256, der).as_ref().try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn names_and_fingerprint_are_read() {
        let mut params = CertificateParams::new(vec!["Batch.Internal".into(), "10.0.0.7".into()]).unwrap();
        let uri = "spiffe://shop.example/batch".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = Certificate::read(made.der()).unwrap();
        assert_eq!(read.dns, ["batch.internal"]);
        assert_eq!(read.uris, ["spiffe://shop.example/batch"]);
        assert_eq!(read.sha256, digest::digest(&digest::SHA256, made.der()).as_ref());
        assert_eq!(Certificate::read(&CertificateDer::from(vec![0x30, 0x00])), None);
    }
}
