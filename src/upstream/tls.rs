//! What a client trusts, and who it is.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_platform_verifier::Verifier;

use super::{SettingsError, Tls};

/// HTTP/2 where the server has it, else HTTP/1.1 (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The rustls configuration of these settings, with the provider named rather than found.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, SettingsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    // Apart from the platform's, so that a bad one is told from a platform that has none.
    let mut named = RootCertStore::empty();
    for ca in &tls.ca {
        named
            .add(ca.clone())
            .map_err(|error| SettingsError::Authority(error.to_string()))?;
    }
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?;
    let builder = match Verifier::new_with_extra_roots(tls.ca.iter().cloned(), provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)),
        // A container without certificate authorities may still have plain upstreams only; on a TLS one every
        // certificate is of an unknown issuer, and the error says what to do.
        Err(_) => builder.with_root_certificates(named),
    };
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| SettingsError::Client(error.to_string()))?,
    };
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
