//! What a client trusts, and who it is.

use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;

use super::{SettingsError, Tls};

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
    let builder = match verifier(&tls.ca, provider) {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
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
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    Ok(config)
}

/// The verifiers in use, each with the authorities it trusts besides the platform's.
static VERIFIERS: Mutex<Vec<(Vec<CertificateDer<'static>>, Weak<Verifier>)>> = Mutex::new(Vec::new());

/// A verifier that trusts the platform and these authorities, shared by all that trust the same: each holds the
/// platform's hundred and more certificates, and reading those is most of what a start takes.
fn verifier(ca: &[CertificateDer<'static>], provider: Arc<CryptoProvider>) -> Result<Arc<Verifier>, rustls::Error> {
    let mut verifiers = VERIFIERS.lock().unwrap_or_else(PoisonError::into_inner);
    // Those of settings that are gone go too, so that the next ones read the platform's certificates anew.
    verifiers.retain(|(_, verifier)| verifier.strong_count() > 0);
    let same = verifiers.iter().find(|(trusted, _)| trusted == ca);
    if let Some(shared) = same.and_then(|(_, verifier)| verifier.upgrade()) {
        return Ok(shared);
    }
    let made = Arc::new(Verifier::new_with_extra_roots(ca.iter().cloned(), provider)?);
    verifiers.push((ca.to_vec(), Arc::downgrade(&made)));
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::tests::authority::Authority;

    #[test]
    fn who_trusts_the_same_shares_a_verifier() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let of = |ca: &[CertificateDer<'static>]| verifier(ca, provider.clone()).unwrap();
        let (one, other) = (Authority::new().der(), Authority::new().der());
        let first = of(std::slice::from_ref(&one));
        assert!(Arc::ptr_eq(&first, &of(std::slice::from_ref(&one))));
        assert!(!Arc::ptr_eq(&first, &of(std::slice::from_ref(&other))));
        assert!(!Arc::ptr_eq(&first, &of(&[one.clone(), other])));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none(), "nothing else keeps it");
    }
}
