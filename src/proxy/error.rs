//! Everything that bearerd itself may answer: one table from cause to status, code and words.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};

use super::guard::Unproven;
use crate::{
    manager::TokenError,
    name::{CredentialName, ListenerName, RouteName, UpstreamName},
    upstream::{Body, UpstreamError},
};

/// The header that tells bearerd's own answers from an upstream's, and holds the code.
pub const ERROR_HEADER: HeaderName = HeaderName::from_static("x-bearerd-error");

/// How long a caller is told to wait where nothing better is known: about one renewal.
const RETRY_SOON: Duration = Duration::from_secs(2);
/// How long where a person has to act first.
const RETRY_LATER: Duration = Duration::from_secs(60);

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:ident;)*) => {
        /// The stable codes of bearerd's own answers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As callers see it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// The status it goes with.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$variant => StatusCode::$status,)*
                }
            }
        }
    };
}

codes! {
    /// The request can't be read in exactly one way.
    BadRequest = "bad_request", BAD_REQUEST;
    /// A part of the credential's subject is absent or repeated.
    SubjectMissing = "subject_missing", BAD_REQUEST;
    /// It is of none of the listener's callers.
    CallerUnknown = "caller_unknown", UNAUTHORIZED;
    /// The provider refuses this subject.
    SubjectRejected = "subject_rejected", UNAUTHORIZED;
    /// A browser sent it on behalf of another site.
    BrowserRefused = "browser_refused", FORBIDDEN;
    /// The config doesn't let callers do this.
    NotAllowed = "not_allowed", FORBIDDEN;
    /// No route wants it.
    NoRoute = "no_route", NOT_FOUND;
    /// A body is larger than the config allows, or than what can be held whole where that must be.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE;
    /// The listener isn't called by this name.
    UnknownHost = "unknown_host", MISDIRECTED_REQUEST;
    /// The config's rate is used up.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS;
    /// A fault of bearerd's own.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// No connection to the upstream.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY;
    /// No trust in the upstream, or of it.
    UpstreamTls = "upstream_tls", BAD_GATEWAY;
    /// The upstream broke off or didn't speak HTTP.
    UpstreamProtocol = "upstream_protocol", BAD_GATEWAY;
    /// No token just now.
    TokenUnavailable = "token_unavailable", SERVICE_UNAVAILABLE;
    /// A person has to sign in.
    LoginRequired = "login_required", SERVICE_UNAVAILABLE;
    /// Too many wait already.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE;
    /// The connection is to a listener that has ended.
    Draining = "draining", SERVICE_UNAVAILABLE;
    /// The upstream took too long.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT;
    /// The token took too long.
    TokenTimeout = "token_timeout", GATEWAY_TIMEOUT;
}

/// Why a request is answered by bearerd itself. The words reach the caller; no secret and no query is in them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// It can't be read in exactly one way.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// A part of the subject is absent or repeated.
    #[error(
        "credential '{credential}' needs its subject's part '{part}', and the request has {found}: \
         send {from}, or see credentials.{credential}.subject"
    )]
    SubjectMissing {
        /// The credential whose subject it is.
        credential: CredentialName,
        /// The part.
        part: String,
        /// Where the part is read from.
        from: String,
        /// What the request has instead.
        found: &'static str,
    },
    /// A browser sent it for another site.
    #[error(
        "this request carries a browser's mark of another site ({mark}); bearerd serves programs, and pages of its \
         own origin only"
    )]
    BrowserRefused {
        /// The header that says so.
        mark: &'static str,
    },
    /// It is of none of the listener's callers.
    #[error("listener '{listener}' serves the callers that listeners.{listener}.callers names, and this request {why}")]
    CallerUnknown {
        /// The listener.
        listener: ListenerName,
        /// What the request shows instead.
        why: Unproven,
        /// Whether keys are shown as bearer tokens.
        takes_bearer: bool,
    },
    /// The route is for others.
    #[error("route '{route}' is not for this caller; add its name to routes.{route}.callers if it may use it")]
    NotForCaller {
        /// The route.
        route: RouteName,
    },
    /// The route's list doesn't have it.
    #[error("route '{route}' doesn't allow this method and path; add it to routes.{route}.allow if callers may use it")]
    NotInAllow {
        /// The route.
        route: RouteName,
    },
    /// It is a token request, which bearerd makes itself.
    #[error(
        "this is a token request of credential '{credential}', which bearerd makes itself; call the API without signing in"
    )]
    TokenEndpoint {
        /// The credential.
        credential: CredentialName,
    },
    /// No route wants it.
    #[error("no route of listener '{listener}' {missed}; `bearerd check` prints the routes")]
    NoRoute {
        /// The listener.
        listener: ListenerName,
        /// What none of them matches.
        missed: &'static str,
    },
    /// The body must be held whole, and is too large.
    #[error(
        "the credential goes into a field of this form, which must be held whole for that, and it is larger than \
         {limit} bytes; send less at once, or the parameter's other fields as JSON if the API takes it"
    )]
    BodyTooLarge {
        /// The most that is held.
        limit: usize,
    },
    /// The listener isn't called by this name.
    #[error(
        "listener '{listener}' doesn't know the host '{host}'; add it to listeners.{listener}.hosts if applications \
         call it by that name"
    )]
    UnknownHost {
        /// The listener.
        listener: ListenerName,
        /// The name.
        host: String,
    },
    /// The body is larger than the config allows.
    #[error(
        "the body is larger than {limit} bytes; raise upstreams.{upstream}.limits.request_body if the API takes it"
    )]
    RequestTooLarge {
        /// The upstream.
        upstream: UpstreamName,
        /// The most that is sent.
        limit: u64,
    },
    /// The config's rate is used up, or the API has said that it has had enough.
    #[error(
        "upstream '{upstream}' takes no more requests for now; see upstreams.{upstream}.limits (rate, obey_retry_after)"
    )]
    RateLimited {
        /// The upstream.
        upstream: UpstreamName,
        /// When there is room again.
        retry_after: Duration,
    },
    /// The listener is gone from the config, or goes on by other rules.
    #[error("this connection was made to a listener as it was before the config changed: connect again")]
    Draining,
    /// A fault of bearerd's own.
    #[error("bearerd failed on this request; its log has a line with this request's id")]
    Internal,
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// There is no answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

impl ProxyError {
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::BadRequest(detail.into())
    }

    /// Its code.
    pub fn code(&self) -> Code {
        match self {
            Self::BadRequest(_) | Self::Upstream(UpstreamError::Body { .. }) => Code::BadRequest,
            Self::SubjectMissing { .. } => Code::SubjectMissing,
            Self::BrowserRefused { .. } => Code::BrowserRefused,
            Self::CallerUnknown { .. } => Code::CallerUnknown,
            Self::NotForCaller { .. } | Self::NotInAllow { .. } | Self::TokenEndpoint { .. } => Code::NotAllowed,
            Self::NoRoute { .. } => Code::NoRoute,
            Self::BodyTooLarge { .. } | Self::RequestTooLarge { .. } => Code::BodyTooLarge,
            Self::UnknownHost { .. } => Code::UnknownHost,
            Self::RateLimited { .. } => Code::RateLimited,
            Self::Draining => Code::Draining,
            Self::Internal => Code::Internal,
            Self::Token(TokenError::LoginRequired { .. }) => Code::LoginRequired,
            Self::Token(TokenError::Unavailable { .. }) => Code::TokenUnavailable,
            Self::Token(TokenError::SubjectRejected { .. }) => Code::SubjectRejected,
            Self::Token(TokenError::Timeout { .. }) => Code::TokenTimeout,
            Self::Token(TokenError::Overloaded { .. }) => Code::Overloaded,
            Self::Upstream(UpstreamError::Unreachable { .. }) => Code::UpstreamUnreachable,
            Self::Upstream(UpstreamError::Tls { .. }) => Code::UpstreamTls,
            Self::Upstream(UpstreamError::Protocol { .. } | UpstreamError::Broken { .. }) => Code::UpstreamProtocol,
            Self::Upstream(UpstreamError::Overloaded { .. }) => Code::Overloaded,
            Self::Upstream(UpstreamError::Timeout { .. }) => Code::UpstreamTimeout,
        }
    }

    /// When the caller may try again; each 503 says so, and 429.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Token(TokenError::LoginRequired { retry_after, .. }) => Some(retry_after.unwrap_or(RETRY_LATER)),
            Self::Token(TokenError::Unavailable { retry_after, .. }) => Some(retry_after.unwrap_or(RETRY_SOON)),
            Self::Token(TokenError::Overloaded { .. })
            | Self::Upstream(UpstreamError::Overloaded { .. })
            | Self::Draining => Some(RETRY_SOON),
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// The answer: `application/problem+json` (RFC 9457), its code in [`ERROR_HEADER`] too, and the error itself as
    /// an extension, for the access line.
    pub fn answer(&self) -> Response<Body> {
        let code = self.code();
        let status = code.status();
        let problem = serde_json::json!({
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": code.as_str(),
            "detail": self.to_string(),
        });
        let body = Full::new(Bytes::from(problem.to_string()));
        let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(ERROR_HEADER, HeaderValue::from_static(code.as_str()));
        if matches!(self, Self::BrowserRefused { .. }) {
            // Shown as a page it would be one of ours, and what the browser then asks for by itself, such as the
            // icon, would pass as same-origin.
            headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        }
        if let Self::CallerUnknown { takes_bearer, .. } = self {
            // A 401 has a challenge (RFC 9110 §15.5.2); the scheme of a key in a field of its own is of our making.
            let challenge = if *takes_bearer { "Bearer" } else { "BearerdKey" };
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if matches!(self, Self::Upstream(UpstreamError::Body { .. })) {
            // Where the next request begins is known to nobody.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(wait) = self.retry_after() {
            // Rounded up: a caller that obeys must not come too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response.extensions_mut().insert(self.clone());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_its_code_in_the_header_and_in_the_problem() {
        let error = ProxyError::UnknownHost {
            listener: "main".parse().unwrap(),
            host: "evil.example".into(),
        };
        let response = error.answer();
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(response.headers()[ERROR_HEADER], "unknown_host");
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn every_503_says_when_to_come_back_rounded_up() {
        let unavailable = |retry_after| {
            ProxyError::Token(TokenError::Unavailable {
                detail: "x".into(),
                retry_after,
            })
        };
        for (error, seconds) in [
            (ProxyError::Draining, "2"),
            (unavailable(None), "2"),
            (unavailable(Some(Duration::from_millis(1_001))), "2"),
            (unavailable(Some(Duration::ZERO)), "1"),
        ] {
            assert_eq!(error.answer().status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(error.answer().headers()[header::RETRY_AFTER], seconds, "{error:?}");
        }
    }

    #[test]
    fn codes_are_told_apart() {
        let mut texts: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
