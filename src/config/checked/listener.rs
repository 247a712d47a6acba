//! A listener, and who may call it.

use std::{fmt, sync::Arc};

use aws_lc_rs::{constant_time, digest};
use http::{HeaderName, header::AUTHORIZATION};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::Bind;
use crate::name::CallerName;

/// A listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its address; off loopback only with `expose: true`, or where callers prove who they are.
    pub bind: Bind,
    /// Who may connect to it, if it is a Unix socket.
    pub access: Access,
    /// Other names it is called by, in lower case, without port.
    pub hosts: Vec<String>,
    /// Whether it may be reached from elsewhere.
    pub expose: bool,
    /// Send and keep header names in title case, for clients that compare them by case.
    pub title_case_headers: bool,
    /// What it speaks TLS with; without it, it is plain.
    pub tls: Option<ListenerTls>,
    /// Who may call; `None` is everybody who can connect.
    pub callers: Option<Arc<Callers>>,
}

impl Listener {
    /// One at this address, for everybody who can connect to it.
    pub fn at(bind: Bind) -> Self {
        Self {
            bind,
            access: Access::default(),
            hosts: Vec::new(),
            expose: false,
            title_case_headers: false,
            tls: None,
            callers: None,
        }
    }

    /// Whether a connection without a client certificate ends in the handshake: nothing else tells who calls.
    pub fn requires_certificate(&self) -> bool {
        self.callers.is_none() && self.tls.as_ref().is_some_and(|tls| !tls.client_ca.is_empty())
    }
}

/// Who may connect to a Unix socket: its file's mode, owner and group (unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Permission bits.
    pub mode: u32,
    /// A user id; `None` is the process's own.
    pub owner: Option<u32>,
    /// A group id; `None` is the one that the system gives it.
    pub group: Option<u32>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            // Only the user that bearerd runs as may connect: whoever can, acts with the credentials.
            mode: 0o600,
            owner: None,
            group: None,
        }
    }
}

/// What a listener speaks TLS with.
#[derive(Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Its certificate, and those that lead to an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its certificate's private key.
    pub key: PrivateKeyDer<'static>,
    /// The authorities of client certificates; empty: none is asked for.
    pub client_ca: Vec<CertificateDer<'static>>,
}

impl Clone for ListenerTls {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            client_ca: self.client_ca.clone(),
        }
    }
}

/// Who may call a listener: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callers {
    /// Where keys are shown.
    pub key_header: HeaderName,
    /// Each of them, by name; no two show the same.
    pub each: Vec<Caller>,
}

/// A caller, and what it shows to prove that it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Its name, for logs and routes.
    pub name: CallerName,
    /// What it shows.
    pub shows: Shown,
}

/// What proves who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A key that nobody else knows.
    Key(KeyDigest),
    /// A client certificate with this DNS name, in lower case.
    Dns(String),
    /// A client certificate with this URI.
    Uri(String),
    /// The client certificate with this SHA-256 digest.
    Sha256([u8; 32]),
    /// A process of this user.
    User(u32),
    /// A process whose effective group is this.
    Group(u32),
}

impl Callers {
    /// The field that never goes upstream: keys stand there, or stood there before the last reload, and applications may
    /// go on sending them. (`authorization` never goes upstream anyway, and a subject may be read from it.)
    pub fn key_field(&self) -> Option<&HeaderName> {
        self.takes_keys_in()
            .or_else(|| (self.key_header != AUTHORIZATION).then_some(&self.key_header))
    }

    /// Where keys are shown, if any caller has one.
    pub fn takes_keys_in(&self) -> Option<&HeaderName> {
        let mut each = self.each.iter();
        each.any(|caller| matches!(caller.shows, Shown::Key(_)))
            .then_some(&self.key_header)
    }

    /// Whether keys are shown as `Authorization: Bearer KEY`.
    pub fn takes_bearer(&self) -> bool {
        self.key_header == AUTHORIZATION
    }
}

/// The SHA-256 digest of a key: the key itself is kept nowhere.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// Of this key.
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
        Self(bytes)
    }
}

impl PartialEq for KeyDigest {
    /// In a time that doesn't tell where they differ.
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for KeyDigest {}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key that somebody made up can be found from its digest.
        f.write_str("KeyDigest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_9_debug_shows_neither_key_nor_digest() {
        let caller = Caller {
            name: "erp".parse().unwrap(),
            shows: Shown::Key(KeyDigest::of(b"canary-canary-canary")),
        };
        assert_eq!(
            format!("{caller:?}"),
            r#"Caller { name: "erp", shows: Key(KeyDigest) }"#
        );
    }
}
