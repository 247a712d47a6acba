//! TLS settings: PEM files are read and parsed at load, so that a bad one is a fault and not a failed handshake.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};

use super::Check;
use crate::config::{
    checked::Tls,
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
        let Some(raw) = field.given() else {
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
            tls.ca = self.certificates(ca, &at.key("ca")).unwrap_or_default();
        }
        match (client_cert.is_absent(), client_key.is_absent()) {
            (true, true) => {}
            (false, false) => {
                let chain = self.certificates(client_cert, &at.key("client_cert"));
                let key = self.private_key(client_key, &at.key("client_key"));
                tls.client = chain.zip(key);
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
