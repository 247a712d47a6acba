//! What a listener speaks TLS with.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};

use crate::config::checked::Listener;

/// HTTP/2 where the client has it, else HTTP/1.1 (RFC 7301).
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The server's side of TLS on this listener, if it speaks it.
///
/// # Errors
/// What rustls says of its certificates, which the config room has asked already.
pub(super) fn acceptor(listener: &Listener) -> Result<Option<Arc<ServerConfig>>, String> {
    let Some(tls) = &listener.tls else { return Ok(None) };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let asks = !tls.client_ca.is_empty();
    let builder = if asks {
        let mut roots = RootCertStore::empty();
        for ca in &tls.client_ca {
            roots.add(ca.clone()).map_err(|error| error.to_string())?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
        // Where callers may show something else, who shows nothing at all gets an answer that says so.
        let verifier = match listener.requires_certificate() {
            true => verifier,
            false => verifier.allow_unauthenticated(),
        };
        builder.with_client_cert_verifier(verifier.build().map_err(|error| error.to_string())?)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(tls.chain.clone(), tls.key.clone_key())
        .map_err(|error| error.to_string())?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    if asks {
        // A resumed session brings its certificate along, which nobody verifies again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Some(Arc::new(config)))
}
