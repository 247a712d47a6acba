//! What an API has counted and last seen, for people to watch and tests to check.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use http::{HeaderMap, Method, Version};

/// Which token request it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grant {
    /// A user name and a password (RFC 6749 §4.3).
    Password,
    /// A refresh token (RFC 6749 §6).
    RefreshToken,
    /// A user's own token, exchanged for one of a tenant.
    UserToken,
    /// A token request that names none of these.
    Other,
}

/// Counters since the start. Reuses and unauthorised calls stay at zero for a client that does everything right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Token requests with a user name and a password.
    pub password: u64,
    /// Token requests with a refresh token.
    pub refresh_token: u64,
    /// Token requests with a user's own token.
    pub user_token: u64,
    /// Token requests of no known grant.
    pub other: u64,
    /// Other described requests: devices linked, accounts made.
    pub steps: u64,
    /// Families of tokens begun.
    pub families: u64,
    /// Refresh tokens accepted.
    pub spends: u64,
    /// Refresh tokens sent again after they were spent.
    pub reuses: u64,
    /// Families of tokens revoked, by a reuse or by hand.
    pub families_revoked: u64,
    /// Data calls with a good credential.
    pub authorised: u64,
    /// Data calls without one, whatever the reason.
    pub unauthorised: u64,
    /// Those of them whose token had been revoked.
    pub with_revoked: u64,
    /// Those of them whose token had expired.
    pub with_expired: u64,
    /// Those of them whose credential was good: the API had been told to refuse it.
    pub refused_at_will: u64,
    /// Data calls with a good credential, to another tenant.
    pub forbidden: u64,
    /// Calls to an authority (`Host`, SNI) that is not this API's.
    pub misdirected: u64,
}

impl Counts {
    /// All token requests.
    pub fn token_requests(&self) -> u64 {
        self.password + self.refresh_token + self.user_token + self.other
    }

    pub(super) fn token_request(&mut self, grant: Grant) {
        *match grant {
            Grant::Password => &mut self.password,
            Grant::RefreshToken => &mut self.refresh_token,
            Grant::UserToken => &mut self.user_token,
            Grant::Other => &mut self.other,
        } += 1;
    }
}

/// A request as it arrived. Debug shows names only, never a header's or a parameter's value.
#[derive(Clone)]
pub struct Seen {
    /// Its method.
    pub method: Method,
    /// Which HTTP it spoke.
    pub version: Version,
    /// `Host`, or HTTP/2's `:authority`.
    pub authority: String,
    /// The name asked for in the TLS handshake; none for a bare address.
    pub sni: Option<String>,
    /// The path, as it stood on the wire.
    pub path: String,
    /// The query, as it stood on the wire; empty where there was none.
    pub query: String,
    /// The headers, credentials included.
    pub headers: HeaderMap,
    /// The body's SHA-256, in hexadecimal.
    pub body_sha256: String,
    /// The body's length in bytes.
    pub body_length: u64,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<_> = form_urlencoded::parse(self.query.as_bytes())
            .map(|(name, _)| name.into_owned())
            .collect();
        f.debug_struct("Seen")
            .field("method", &self.method)
            .field("version", &self.version)
            .field("authority", &self.authority)
            .field("sni", &self.sni)
            .field("path", &self.path)
            .field("parameters", &parameters)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("body_length", &self.body_length)
            .finish_non_exhaustive()
    }
}

/// Counts on behalf of one API.
#[derive(Default)]
pub(super) struct Tally(Mutex<Counts>);

impl Tally {
    pub(super) fn add(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn counts(&self) -> Counts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_value() {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", "Bearer canary".parse().unwrap());
        let seen = Seen {
            method: Method::GET,
            version: Version::HTTP_11,
            authority: "localhost".into(),
            sni: None,
            path: "/lead".into(),
            query: "api_key=canary".into(),
            headers,
            body_sha256: String::new(),
            body_length: 0,
        };
        let shown = format!("{seen:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("api_key") && shown.contains("authorization"), "{shown}");
    }
}
