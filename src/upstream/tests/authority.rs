//! A certificate authority of one test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub(in crate::upstream) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate's chain, and its key.
pub(in crate::upstream) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    /// An authority of a name of its own.
    pub(in crate::upstream) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self::named(&format!("authority {}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    pub(super) fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate that signs itself and says that it is an authority's, as `openssl req -x509` makes it.
    pub(super) fn own(name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::from(key))
    }

    /// A certificate that is for clients only.
    pub(super) fn issue_for_clients(&self, name: &str) -> Identity {
        self.issue_with(name, |params| {
            params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub(in crate::upstream) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(in crate::upstream) fn issue(&self, name: &str) -> Identity {
        self.issue_with(name, |_| {})
    }

    pub(super) fn issue_expired(&self, name: &str) -> Identity {
        self.issue_with(name, |params| params.not_after = date_time_ymd(2001, 1, 1))
    }

    fn issue_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::from(key))
    }

    /// A server's side for this identity; wants a client certificate of this authority where asked.
    pub(super) fn server(&self, identity: Identity, wants_client: bool, alpn: &[&str]) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if wants_client {
            let mut roots = RootCertStore::empty();
            roots.add(self.der()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let (chain, key) = identity;
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// The ordinary server of `localhost`.
    pub(super) fn localhost(&self, alpn: &[&str]) -> Arc<ServerConfig> {
        self.server(self.issue("localhost"), false, alpn)
    }
}
