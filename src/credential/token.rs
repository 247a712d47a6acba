//! Tokens, and where they stand in their chain.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use secrecy::{ExposeSecret, SecretString};

use crate::clock::Deadline;

/// Where tokens stand: which sign-in they grew from, how many rotations since, and which attempt brought them.
/// Later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// Counts sign-ins; 0 is before the first.
    pub chain: u64,
    /// Counts rotations within the chain.
    pub generation: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.chain, self.generation)
    }
}

/// What one reply brought. Debug shows which tokens are there, never what they are.
#[derive(Clone, Default)]
pub struct Tokens {
    /// The access token; absent when a reply brought a refresh token only.
    pub access: Option<SecretString>,
    /// The refresh token.
    pub refresh: Option<SecretString>,
    /// When the reply was read: milliseconds since the Unix epoch.
    pub obtained: u64,
    /// When the access token expires; `None` until it is rejected.
    pub expires: Option<Deadline>,
    /// When the refresh token dies unused, where that is known.
    pub dies: Option<Deadline>,
}

fn exposed(secret: &Option<SecretString>) -> Option<&str> {
    secret.as_ref().map(|secret| secret.expose_secret())
}

impl PartialEq for Tokens {
    fn eq(&self, other: &Self) -> bool {
        exposed(&self.access) == exposed(&other.access)
            && exposed(&self.refresh) == exposed(&other.refresh)
            && (self.obtained, self.expires, self.dies) == (other.obtained, other.expires, other.dies)
    }
}

impl Eq for Tokens {}

impl Hash for Tokens {
    fn hash<H: Hasher>(&self, state: &mut H) {
        exposed(&self.access).hash(state);
        exposed(&self.refresh).hash(state);
        (self.obtained, self.expires, self.dies).hash(state);
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("access", &self.access.is_some())
            .field("refresh", &self.refresh.is_some())
            .field("obtained", &self.obtained)
            .field("expires", &self.expires)
            .field("dies", &self.dies)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_token() {
        let tokens = Tokens {
            access: Some("canary".into()),
            refresh: Some("canary".into()),
            ..Tokens::default()
        };
        assert!(!format!("{tokens:?}").contains("canary"));
    }

    #[test]
    fn a_later_chain_is_greater_whatever_its_generation() {
        let at = |chain, generation| Position { chain, generation };
        assert!(at(2, 1) > at(1, 9));
        assert!(at(1, 2) > at(1, 1));
    }
}
