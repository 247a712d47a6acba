//! Certificates of a test's own, and clients that speak TLS.

use std::{
    io::{self, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{
    client::{Ask, connect},
    message::Message,
};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    key: KeyPair,
    pem: String,
}

impl Identity {
    /// Writes both into one file.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.pem.clone() + &self.key.serialize_pem()).unwrap();
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    /// A certificate of these names; those with a colon are URIs.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        let (uris, dns): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.contains("://"));
        let mut params = CertificateParams::new(dns.into_iter().map(str::to_owned).collect::<Vec<_>>()).unwrap();
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        let key = KeyPair::generate().unwrap();
        let made = params.signed_by(&key, &self.0).unwrap();
        Identity {
            certificate: made.der().clone(),
            pem: made.pem(),
            key,
        }
    }

    /// A client that trusts this authority, and is this one.
    pub(crate) fn client(&self, identity: Option<&Identity>, protocol: &[u8]) -> Client {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key, .. }) => builder
                .with_client_auth_cert(
                    vec![certificate.clone()],
                    PrivateKeyDer::Pkcs8(key.serialize_der().into()),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        Client(Arc::new(config))
    }
}

#[derive(Clone)]
pub(crate) struct Client(pub(crate) Arc<ClientConfig>);

pub(crate) type Stream = BufReader<StreamOwned<ClientConnection, TcpStream>>;

impl Client {
    pub(crate) fn connect(&self, to: SocketAddr) -> Stream {
        let connection = ClientConnection::new(self.0.clone(), "localhost".try_into().unwrap()).unwrap();
        BufReader::new(StreamOwned::new(connection, connect(to)))
    }

    /// The answer, or why the handshake failed.
    pub(crate) fn send(&self, to: SocketAddr, ask: &Ask) -> io::Result<Message> {
        let mut stream = self.connect(to);
        stream.get_mut().write_all(&ask.bytes())?;
        // With TLS 1.3 the server's refusal comes after the client is done.
        let mut first = [0];
        io::Read::read(stream.get_mut(), &mut first)?;
        let rest = io::Read::chain(&first[..], stream);
        Message::answer(&mut BufReader::new(rest), false).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
