//! How a client speaks TLS.

use std::sync::{Arc, LazyLock};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
};

use super::{
    SettingsError, Tls,
    trust::{Named, platform},
};

/// HTTP/2 where the server has it, else HTTP/1.1 (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How many sessions are kept to be resumed: those of four hosts, for rustls keeps up to eight of each. An upstream has
/// one host, a credential's requests rarely more than two, and room for rustls's own 256 is made at once, for each
/// of a thousand upstreams.
const SESSIONS: usize = 32;

/// What encrypts and signs, the same for all: lists of what there is to choose from.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// The rustls configuration of these settings, with the provider named rather than found.
pub(super) fn client_config(tls: &Tls) -> Result<ClientConfig, SettingsError> {
    let provider = PROVIDER.clone();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?;
    let builder = if !tls.ca.is_empty() {
        let named = Named::shared(&tls.ca, &provider).map_err(|error| SettingsError::Authority(error.to_string()))?;
        builder.dangerous().with_custom_certificate_verifier(named)
    } else if let Ok(platform) = platform(provider) {
        builder.dangerous().with_custom_certificate_verifier(platform)
    } else {
        // A container without certificate authorities may still have plain upstreams only; on a TLS one every
        // certificate is of an unknown issuer, and the error says what to do.
        builder.with_root_certificates(RootCertStore::empty())
    };
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| SettingsError::Client(error.to_string()))?,
    };
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}
