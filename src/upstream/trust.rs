//! Whom a client trusts: the authorities that its settings name, and the platform's.
//!
//! Reading the platform's hundred and more certificates is most of what a start takes. So they are read once for all
//! clients; and, for those that name authorities, not before a server shows a certificate that these don't vouch for. Its
//! handshake then waits some milliseconds for the disk, and whatever else the thread has to do waits too: once.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

/// What the platform trusts, while anybody trusts it.
static PLATFORM: Mutex<Weak<Verifier>> = Mutex::new(Weak::new());

/// The platform's verifier, shared by all who trust it. Its authorities are read again when the last of those is gone;
/// while bearerd goes on with the same upstreams, changes there want a restart.
///
/// # Errors
/// It has no certificate authorities, as a small container.
pub(super) fn platform(provider: Arc<CryptoProvider>) -> Result<Arc<Verifier>, Error> {
    let mut shared = PLATFORM.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(shared) = shared.upgrade() {
        return Ok(shared);
    }
    let made = Arc::new(Verifier::new(provider)?);
    *shared = Arc::downgrade(&made);
    Ok(made)
}

/// How the platform's verifier is had.
type Read = fn(Arc<CryptoProvider>) -> Result<Arc<Verifier>, Error>;

/// Trusts named authorities, and the platform's too.
#[derive(Debug)]
pub(super) struct Named {
    named: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    read: Read,
    /// Once it could be read. A process without descriptors to spare, or a bundle that is just being replaced, must not
    /// be remembered.
    platform: OnceLock<Arc<Verifier>>,
}

/// Those in use, each with the authorities it trusts besides the platform's.
static NAMED: Mutex<Vec<(Vec<CertificateDer<'static>>, Weak<Named>)>> = Mutex::new(Vec::new());

impl Named {
    /// A verifier that trusts these, shared by all clients that trust the same.
    ///
    /// # Errors
    /// One that is no certificate, or no certificate at all.
    pub(super) fn shared(ca: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Result<Arc<Self>, Error> {
        let mut all = NAMED.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, verifier)| verifier.strong_count() > 0);
        let same = all.iter().find(|(trusted, _)| trusted == ca);
        if let Some(shared) = same.and_then(|(_, verifier)| verifier.upgrade()) {
            return Ok(shared);
        }
        let made = Arc::new(Self::new(ca, provider.clone(), platform)?);
        all.push((ca.to_vec(), Arc::downgrade(&made)));
        Ok(made)
    }

    fn new(ca: &[CertificateDer<'static>], provider: Arc<CryptoProvider>, read: Read) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for ca in ca {
            roots.add(ca.clone())?;
        }
        let named = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        Ok(Self {
            named: named.map_err(|error| Error::General(error.to_string()))?,
            provider,
            read,
            platform: OnceLock::new(),
        })
    }

    fn platform(&self) -> Result<&Arc<Verifier>, Error> {
        match self.platform.get() {
            Some(platform) => Ok(platform),
            None => {
                let read = (self.read)(self.provider.clone())?;
                Ok(self.platform.get_or_init(|| read))
            }
        }
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let of = |verifier: &dyn ServerCertVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let refused = match of(&*self.named) {
            Ok(verified) => return Ok(verified),
            Err(refused) => refused,
        };
        let platform = match self.platform() {
            Ok(platform) => platform,
            Err(error) => {
                tracing::debug!(%error, "the platform's certificate authorities can't be read");
                return Err(refused);
            }
        };
        // What the named authorities say of one of theirs is what helps.
        of(&**platform).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => refused,
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.named.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.named.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::upstream::tests::authority::Authority;

    #[test]
    fn who_trusts_the_same_shares_a_verifier() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let of = |ca: &[CertificateDer<'static>]| Named::shared(ca, &provider).unwrap();
        let (one, other) = (Authority::new().der(), Authority::new().der());
        let first = of(std::slice::from_ref(&one));
        assert!(Arc::ptr_eq(&first, &of(std::slice::from_ref(&one))));
        assert!(!Arc::ptr_eq(&first, &of(std::slice::from_ref(&other))));
        assert!(!Arc::ptr_eq(&first, &of(&[one.clone(), other])));
        let gone = Arc::downgrade(&first);
        drop(first);
        assert!(gone.upgrade().is_none(), "nothing else keeps it");
    }

    #[test]
    fn the_platforms_authorities_are_looked_at_where_no_named_one_vouches() {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (own, public, unknown) = (Authority::new(), Authority::new(), Authority::new());
        let named = Named::new(&[own.der()], provider.clone(), |_| panic!("nobody needs it")).unwrap();
        let verify = |authority: &Authority, name: &'static str| {
            let (chain, _) = authority.issue("localhost");
            let name = ServerName::try_from(name).unwrap();
            named.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now())
        };
        let is = |refused: Result<ServerCertVerified, Error>, why: CertificateError| {
            refused.is_err_and(|error| error == Error::InvalidCertificate(why))
        };
        assert!(verify(&own, "localhost").is_ok());

        let platform = Verifier::new_with_extra_roots([public.der()], provider.clone()).unwrap();
        named.platform.set(Arc::new(platform)).unwrap();
        assert!(verify(&public, "localhost").is_ok());
        assert!(is(verify(&unknown, "localhost"), CertificateError::UnknownIssuer));
        // Of both, the one that knows the issuer says what is wrong.
        for known in [&own, &public] {
            let refused = verify(known, "elsewhere.example").unwrap_err();
            assert!(refused.to_string().contains("elsewhere.example"), "{refused}");
        }
    }

    #[test]
    fn authorities_that_could_not_be_read_are_read_again() {
        static READS: AtomicUsize = AtomicUsize::new(0);
        static PUBLIC: OnceLock<CertificateDer<'static>> = OnceLock::new();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let public = Authority::new();
        PUBLIC.set(public.der()).unwrap();
        let named = Named::new(&[Authority::new().der()], provider, |provider| {
            match READS.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Error::General("too many open files".into())),
                _ => Verifier::new_with_extra_roots(PUBLIC.get().cloned(), provider).map(Arc::new),
            }
        });
        let named = named.unwrap();
        let (chain, _) = public.issue("localhost");
        let name = ServerName::try_from("localhost").unwrap();
        let verify = || named.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now());
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(verify().unwrap_err(), unknown);
        assert!(verify().is_ok() && verify().is_ok());
        assert_eq!(READS.load(Ordering::Relaxed), 2, "once they are there, they stay");
    }
}
