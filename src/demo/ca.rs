//! A certificate authority made at start, and the one certificate that all four APIs show.

use std::{sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;

use super::DemoError;
use crate::clock::Clock;

/// How long before now the certificates begin: peers' clocks differ.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);

/// How long they are good for: well under the 825 days that some platforms allow.
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// The authority's certificate, and a TLS server that it vouches for.
pub(super) struct Ca {
    /// The authority's certificate, for clients to trust.
    pub(super) pem: String,
    /// Speaks HTTP/1.1, and h2 if it was asked to offer that.
    pub(super) server: Arc<ServerConfig>,
}

impl Ca {
    /// Makes an authority that vouches for these names and addresses.
    pub(super) fn make(names: Vec<String>, h2: bool) -> Result<Self, DemoError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "bearerd demo authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        date(&mut ca);
        let ca_certificate = ca.self_signed(&ca_key)?;

        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(names)?;
        leaf.distinguished_name.push(DnType::CommonName, "bearerd demo APIs");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        date(&mut leaf);
        let certificate = leaf.signed_by(&key, &Issuer::new(ca, ca_key))?;

        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )?;
        if h2 {
            server.alpn_protocols.push(b"h2".to_vec());
        }
        server.alpn_protocols.push(b"http/1.1".to_vec());
        Ok(Self {
            pem: ca_certificate.pem(),
            server: Arc::new(server),
        })
    }
}

/// Dates a certificate by the machine's clock, even where tokens live by another: clients verify by their own.
fn date(params: &mut CertificateParams) {
    let now = Duration::from_millis(Clock::system().now().wall);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + VALID;
}
