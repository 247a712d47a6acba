//! TLS settings: PEM files are read and parsed at load, so that a bad one is a fault and not a failed handshake.

use rustls::{RootCertStore, crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};

use super::Check;
use crate::config::{
    checked::{ListenerTls, Tls},
    node::KeyPath,
    raw::{self, Field, Text},
};

impl Check<'_> {
    /// The settings of every connection.
    pub(super) fn common_tls(&self, field: &Field<raw::CommonTls>) -> Tls {
        let at = KeyPath::of(["tls"]);
        field.given().map_or_else(Tls::default, |raw| {
            self.tls_files(&raw.ca, &raw.client_cert, &raw.client_key, &Tls::default(), &at)
        })
    }

    /// The settings of one, each key over the common one.
    pub(super) fn tls(&self, field: &Field<raw::Tls>, common: &Tls, at: &KeyPath) -> Tls {
        let Some(raw) = field.given().filter(|_| !self.blind) else {
            return common.clone();
        };
        let mut tls = self.tls_files(&raw.ca, &raw.client_cert, &raw.client_key, common, at);
        if !raw.server_name.is_absent() {
            let at = at.key("server_name");
            let name = self.text(&raw.server_name, &at);
            tls.server_name = name.and_then(|name| match ServerName::try_from(name) {
                Ok(name) => Some(name),
                Err(_) => {
                    self.fault(&at, "this is to be the name or the address of a host".into(), None);
                    None
                }
            });
        }
        tls
    }

    fn tls_files(
        &self,
        ca: &Field<Text>,
        client_cert: &Field<Text>,
        client_key: &Field<Text>,
        common: &Tls,
        at: &KeyPath,
    ) -> Tls {
        let mut tls = common.clone();
        if !ca.is_absent() {
            tls.ca = self.authorities(ca, &at.key("ca")).unwrap_or_default();
        }
        match (client_cert.is_absent(), client_key.is_absent()) {
            (true, true) => {}
            (false, false) => {
                let chain = self.certificates(client_cert, &at.key("client_cert"));
                let key = self.private_key(client_key, &at.key("client_key"));
                tls.client = chain
                    .zip(key)
                    .filter(|(chain, key)| self.belong_together(chain, key, "client_cert", &at.key("client_key")));
            }
            (cert_absent, _) => {
                let (given, missing) = if cert_absent {
                    ("client_key", "client_cert")
                } else {
                    ("client_cert", "client_key")
                };
                self.fault_at_key(
                    &at.key(given),
                    format!("`{given}` is of no use without `{missing}`"),
                    Some(format!("give `{missing}` too; both may name the same file")),
                );
            }
        }
        tls
    }

    /// What a listener speaks TLS with.
    pub(super) fn listener_tls(&self, raw: &raw::ListenerTls, at: &KeyPath) -> Option<ListenerTls> {
        for (name, field) in [("cert", &raw.cert), ("key", &raw.key)] {
            if field.is_absent() {
                self.fault_at_key(
                    at,
                    format!("`{name}` is missing"),
                    Some("give `cert` and `key`; both may name the same file".into()),
                );
            }
        }
        let chain = self.certificates(&raw.cert, &at.key("cert"));
        let key = self.private_key(&raw.key, &at.key("key"));
        let (chain, key) = chain
            .zip(key)
            .filter(|(chain, key)| self.belong_together(chain, key, "cert", &at.key("key")))?;
        let client_ca = match &raw.client_ca {
            Field::Absent => Vec::new(),
            field => self.authorities(field, &at.key("client_ca"))?,
        };
        Some(ListenerTls { chain, key, client_ca })
    }

    /// Certificates that others can be verified with.
    fn authorities(&self, field: &Field<Text>, at: &KeyPath) -> Option<Vec<CertificateDer<'static>>> {
        let certificates = self.certificates(field, at)?;
        let mut store = RootCertStore::empty();
        if certificates.iter().any(|ca| store.add(ca.clone()).is_err()) {
            self.fault(
                at,
                "a certificate in this file can't be used".into(),
                Some("it is to hold certificate authorities, in PEM".into()),
            );
            return None;
        }
        Some(certificates)
    }

    /// Whether a key is the first certificate's, as rustls will ask when it is used.
    fn belong_together(
        &self,
        chain: &[CertificateDer<'static>],
        key: &PrivateKeyDer<'static>,
        cert: &str,
        at: &KeyPath,
    ) -> bool {
        let Ok(signer) = aws_lc_rs::sign::any_supported_type(key) else {
            self.fault(
                at,
                "this private key is of a kind that TLS doesn't use here".into(),
                Some("use RSA of at least 2048 bits, ECDSA or Ed25519".into()),
            );
            return false;
        };
        match CertifiedKey::new(chain.to_vec(), signer).keys_match() {
            // A key that doesn't tell its public half is tried as it is, which is what rustls does.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => true,
            Err(rustls::Error::InconsistentKeys(_)) => {
                self.fault(
                    at,
                    format!("this is not the key of the first certificate in `{cert}`"),
                    Some("give the key that the certificate was issued for, and put that certificate first".into()),
                );
                false
            }
            Err(_) => {
                self.fault(
                    at,
                    format!("the first certificate in `{cert}` can't be used"),
                    Some("it is to be an X.509 certificate, version 3".into()),
                );
                false
            }
        }
    }

    fn certificates(&self, field: &Field<Text>, at: &KeyPath) -> Option<Vec<CertificateDer<'static>>> {
        let (path, pem) = self.read_file(&self.text(field, at)?, at)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Some(certificates),
            _ => {
                self.fault(
                    at,
                    format!("there is no readable certificate in {}", path.display()),
                    Some("it is to be a PEM file, with BEGIN CERTIFICATE".into()),
                );
                None
            }
        }
    }

    fn private_key(&self, field: &Field<Text>, at: &KeyPath) -> Option<PrivateKeyDer<'static>> {
        let (path, pem) = self.read_file(&self.text(field, at)?, at)?;
        match PrivateKeyDer::from_pem_slice(&pem) {
            Ok(key) => Some(key),
            // The parser's own words may hold what it read.
            Err(_) => {
                self.fault(
                    at,
                    format!("there is no readable private key in {}", path.display()),
                    Some("it is to be a PEM file, with BEGIN PRIVATE KEY, not encrypted".into()),
                );
                None
            }
        }
    }
}
