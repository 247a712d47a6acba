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
    /// What came over the connection is no HTTP.
    #[error("{host} gave no answer: {reason}")]
    Protocol {
        /// The host.
        host: String,
        /// Why.
        reason: String,
    },
    /// The caller's own body broke off, or is framed wrongly.
    #[error("the request's body broke off or can't be read ({reason}); send it whole")]
    Body {
        /// The host that it was for.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection ended before an answer began: the request may have been read, and may not.
    #[error("{host} gave no answer: {reason}")]
    Broken {
        /// The host.
        host: String,
        /// Why.
        reason: String,
        /// Whether it had carried requests before, so that it may just have been closed for having had none lately.
        was_used: bool,
    },
    /// As many requests are under way as may be, and too many wait already; or this one has waited too long.
    #[error("{host} is busy: {reason}")]
    Overloaded {
        /// The host.
        host: String,
        /// Which limit is reached.
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
    /// The URL.
    #[error("the url's host '{0}' can't be named in a request; write it as host or host:port")]
    Origin(String),
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
            | Self::Body { host, .. }
            | Self::Broken { host, .. }
            | Self::Overloaded { host, .. }
            | Self::Timeout { host, .. } => host,
        }
    }

    /// What a failed request says, once there was a connection, with TLS or plain.
    pub(super) fn of_request(host: &str, is_plain: bool, was_used: bool, error: &hyper::Error) -> Self {
        let host = host.to_owned();
        if let Some(tls) = tls_error(error).filter(|tls| refuses_handshake(tls)) {
            let reason = tls_words(tls);
            return Self::Tls { host, reason };
        }
        let mut reason = chain(error);
        // A connection that has carried requests speaks what it should.
        if is_plain && !was_used && may_want_tls(error) {
            reason.push_str("; if that port speaks TLS, the url must begin with https://");
        }
        match breaks_off(error) {
            true => Self::Broken { host, reason, was_used },
            false => Self::Protocol { host, reason },
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
            certificate => certificate_words(certificate),
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

/// What is wrong with a certificate itself, which its owner must mend.
fn certificate_words(certificate: &CertificateError) -> String {
    use CertificateError as Certificate;
    /// RFC 5280 §4.2.1.9: the names that rustls-webpki gives its reasons, as it shows them.
    const MADE_ANEW: [(&str, &str); 5] = [
        (
            "CaUsedAsEndEntity",
            "its certificate is a certificate authority's own, which no server may show (RFC 5280 basicConstraints; \
             `openssl req -x509` makes such unless told otherwise); make it anew with `-addext \
             basicConstraints=critical,CA:FALSE`, and name it in tls.ca",
        ),
        (
            "EndEntityUsedAsCa",
            "its certificate was issued by one that is no certificate authority's; have it issued by an authority, and \
             name that one in tls.ca",
        ),
        (
            "NameConstraintViolation",
            "its certificate is for a name that its authority may not issue for; have it issued by another one",
        ),
        (
            "PathLenConstraintViolated",
            "its certificate has more authorities above it than the topmost allows; name the nearest one in tls.ca",
        ),
        (
            "UnsupportedCertVersion",
            "its certificate is not of X.509 version 3; have it made anew",
        ),
    ];
    match certificate {
        Certificate::Revoked => "its certificate is revoked; whoever runs the server must have a new one issued".into(),
        Certificate::BadEncoding => {
            "its certificate is malformed, or not of X.509 version 3; it must be made anew".into()
        }
        Certificate::UnhandledCriticalExtension => {
            "its certificate has a critical extension that is not known here (RFC 5280 §4.2); it must be made anew \
             without"
                .into()
        }
        #[allow(deprecated, reason = "a verifier may still give the older one")]
        Certificate::UnsupportedSignatureAlgorithm
        | Certificate::UnsupportedSignatureAlgorithmContext { .. }
        | Certificate::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed in a way that is no longer safe, such as SHA-1; it must be issued anew with \
             SHA-256 or better, for RSA of at least 2048 bits or ECDSA"
                .into()
        }
        Certificate::InvalidPurpose | Certificate::InvalidPurposeContext { .. } => not_for_servers(),
        Certificate::UnknownRevocationStatus
        | Certificate::ExpiredRevocationList
        | Certificate::ExpiredRevocationListContext { .. }
        | Certificate::InvalidOcspResponse => {
            "whether its certificate is revoked can't be told; its authority's revocation list or OCSP answer must be \
             renewed"
                .into()
        }
        Certificate::ApplicationVerificationFailure => {
            "its certificate is refused by this machine's policy; name its authority's certificate in tls.ca".into()
        }
        Certificate::Other(other) => {
            let name = other.to_string();
            let known = MADE_ANEW.iter().find(|(reason, _)| name.contains(reason));
            match known {
                Some((_, words)) => (*words).to_owned(),
                // What rustls-platform-verifier says of a missing extended key usage, and of nothing else.
                None if name.contains("invalid extensions") => not_for_servers(),
                None => format!("its certificate can't be verified ({name}); it must be made anew"),
            }
        }
        other => format!("its certificate can't be verified ({other}); it must be made anew"),
    }
}

fn not_for_servers() -> String {
    "its certificate is not for servers; it must be issued with the extended key usage serverAuth (RFC 5280 §4.2.1.12)"
        .into()
}

/// Whether it is the connection that failed, rather than what came over it or the caller's own body.
fn breaks_off(error: &hyper::Error) -> bool {
    !(error.is_user() || error.is_parse() || error.is_timeout())
}

/// Whether a connection without TLS failed as it does where the other side waits for TLS, or answers in it.
fn may_want_tls(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind as Kind;
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            // The caller's body failed, not the connection.
            if error.is_user() {
                return false;
            }
            if error.is_parse() || error.is_incomplete_message() || error.is_canceled() {
                return true;
            }
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return matches!(
                error.kind(),
                Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof
            );
        }
        next = error.source();
    }
    false
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
