//! A running API, as people and tests hold it.

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use secrecy::SecretString;

use super::{
    count::{Counts, Seen},
    endpoint::Endpoint,
    misbehave::{Misbehaviour, Times},
};

/// One running API.
pub struct Api {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) address: SocketAddr,
    pub(super) base_url: String,
}

impl Api {
    /// Its name, as it stands in its echoes.
    pub fn name(&self) -> &'static str {
        self.endpoint.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL, by name: `https://localhost:40123`.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// What it has counted since the start.
    pub fn counts(&self) -> Counts {
        self.endpoint.tally.counts()
    }

    /// The last data call, authorised or not.
    pub fn last_data_call(&self) -> Option<Seen> {
        let seen = self.endpoint.last_data.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last token request or step.
    pub fn last_token_request(&self) -> Option<Seen> {
        let seen = self.endpoint.last_token.lock();
        seen.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every access and refresh token issued so far, if [`Options::keep_issued`](super::Options::keep_issued) says
    /// to remember them: for tests that look for them where they must not be.
    pub fn issued(&self) -> Vec<SecretString> {
        self.endpoint.ledger.issued()
    }

    /// Fails token requests in this way, after what it was told before.
    pub fn misbehave(&self, misbehaviour: Misbehaviour, times: Times) {
        self.endpoint.plan.add(misbehaviour, times);
    }

    /// Refuses data calls although their credential is good, as if it were unknown.
    pub fn refuse(&self, times: Times) {
        self.endpoint.refusals.add((), times);
    }

    /// Closes new connections before their TLS handshake, so that no request leaves; open ones go on.
    pub fn unreachable(&self, unreachable: bool) {
        self.endpoint.unreachable.store(unreachable, Ordering::Relaxed);
    }

    /// Forgets everything it was told by [`Api::misbehave`] and [`Api::refuse`].
    pub fn behave(&self) {
        self.endpoint.plan.clear();
        self.endpoint.refusals.clear();
    }

    /// Revokes every access token that it issued; refresh tokens, and keys that don't expire, stay good.
    pub fn revoke_all(&self) {
        self.endpoint.ledger.revoke_accesses();
    }

    /// Revokes every family: access and refresh tokens alike. What is left is to sign in.
    pub fn revoke_family(&self) {
        self.endpoint.ledger.revoke_families();
    }
}
