//! What can go wrong between bearerd and an upstream, in words for an operator.
//!
//! A host is named, a path or a query never: token requests carry secrets there.

use std::{error::Error, io};

use rustls::{AlertDescription, CertificateError};

/// Why a request got no answer. `reason` says what happened and which setting helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection: nothing was sent.
    #[error("{host} can't be reached: {reason}")]
    Unreachable {
        /// The host, and its port where that is not the scheme's own.
        host: String,
        /// Why.
        reason: String,
    },
    /// No TLS: nothing was sent.
    #[error("no TLS connection with {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The connection ended, or what came over it is no HTTP.
    #[error("{host} gave no answer: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// No answer in time.
    #[error("{host} gave no answer: {reason}")]
    Timeout {
        /// The host.
        host: String,
        /// How long it was waited for.
        reason: String,
    },
}

/// Why no client can be made from its settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A certificate of `tls.ca`.
    #[error("a certificate of tls.ca can't be used: {0}; it must be a certificate authority's, in PEM")]
    Authority(String),
    /// `tls.client_cert` or `tls.client_key`.
    #[error("tls.client_cert and tls.client_key can't be used: {0}; the first certificate must be that of the key")]
    Client(String),
    /// Something else of TLS.
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

impl UpstreamError {
    /// The host that it is about.
    pub fn host(&self) -> &str {
        match self {
            Self::Unreachable { host, .. }
            | Self::Tls { host, .. }
            | Self::Protocol { host, .. }
            | Self::Timeout { host, .. } => host,
        }
    }

    /// What a failed request says, once there was a connection.
    pub(super) fn of_request(host: &str, error: &(dyn Error + 'static)) -> Self {
        let host = host.to_owned();
        match tls_error(error) {
            Some(tls) if refuses_handshake(tls) => Self::Tls {
                host,
                reason: tls_words(tls),
            },
            _ => Self::Protocol {
                host,
                reason: chain(error),
            },
        }
    }
}

/// The TLS error inside another one, if there is one.
pub(super) fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An io::Error's source is the source of what it wraps, not what it wraps.
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Whether a server ended the handshake, so that it can't have read a request. In TLS 1.3 a refused client
/// certificate shows only after the client has begun to send (RFC 8446 §4.4.2.4).
pub(super) fn refuses_handshake(error: &rustls::Error) -> bool {
    use AlertDescription as Alert;
    matches!(
        error,
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::HandshakeFailure
        )
    )
}

/// A TLS error, and the setting that helps.
pub(super) fn tls_words(error: &rustls::Error) -> String {
    use CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "its certificate has expired (if it has not, check this machine's clock)".into()
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "its certificate is not valid yet (if it is, check this machine's clock)".into()
            }
            Certificate::UnknownIssuer => {
                "its certificate was issued by an unknown authority; name that authority's certificate in tls.ca, or \
                 install the platform's certificate authorities (ca-certificates)"
                    .into()
            }
            Certificate::BadSignature => {
                "its certificate was not signed by the authority whose name it bears; the one in tls.ca may be an older \
                 one of that name"
                    .into()
            }
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                "its certificate is for another name; check the host in the url, or set tls.server_name".into()
            }
            Certificate::Revoked => "its certificate is revoked".into(),
            other => format!("its certificate is refused ({other:?})"),
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate; set tls.client_cert and tls.client_key".into()
        }
        error if refuses_handshake(error) => {
            format!("it ended the handshake ({error}); check tls.client_cert, tls.client_key and tls.server_name")
        }
        rustls::Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            "it does not know the name that it was asked for; check the host in the url, or tls.server_name".into()
        }
        rustls::Error::InvalidMessage(_) => {
            format!("what it sent is no TLS ({error}); check the port, and whether the url should begin with http://")
        }
        other => other.to_string(),
    }
}

/// An error and its sources in one line.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !words.contains(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        next = source.source();
    }
    words
}
