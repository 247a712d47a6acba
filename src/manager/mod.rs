//! The token manager: an owned task per credential and subject, and a handle that callers clone.
//!
//! A caller never runs a token request in its own future: it reads what the task has published, or waits for it.

mod handle;

pub use handle::{Ready, TokenError, TokenHandle};

use std::sync::Arc;

use crate::credential::Spec;

/// The manager of one credential: hands out the handle of each subject.
#[derive(Clone)]
pub struct Manager {
    spec: Arc<Spec>,
    fixed: Option<TokenHandle>,
}

impl Manager {
    /// The manager of a `static` credential; `None` where the spec has grants.
    pub fn fixed(spec: Arc<Spec>, handle: TokenHandle) -> Self {
        Self {
            spec,
            fixed: Some(handle),
        }
    }

    /// What it manages.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.spec
    }

    /// The handle of a subject: its parts by name, in the spec's order; empty where the credential has none.
    pub async fn handle(&self, subject: &[(String, String)]) -> Result<TokenHandle, TokenError> {
        let _ = subject;
        self.fixed.clone().ok_or_else(|| TokenError::Unavailable {
            detail: "no grant".into(),
            retry_after: None,
        })
    }
}
