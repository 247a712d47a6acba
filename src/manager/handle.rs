//! What the request path holds: the published token, and a way to ask for one.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::{Deadline, Now},
    credential::{placement::Injection, token::Position},
};

/// A token that is ready to go into requests.
#[derive(Clone)]
pub struct Ready {
    /// What to put into a request.
    pub injection: Injection,
    /// Which tokens these are: a rejection speaks of this position only.
    pub position: Position,
    /// When it expires.
    pub expires: Option<Deadline>,
}

impl Ready {
    /// Whether it may still be sent.
    pub fn is_usable(&self, now: Now) -> bool {
        self.expires.is_none_or(|expires| !expires.has_passed(now))
    }
}

/// Why there is no token, in words for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// A person has to sign in.
    #[error("{detail}")]
    LoginRequired {
        /// What happened and which command helps.
        detail: String,
        /// When bearerd looks again by itself.
        retry_after: Option<Duration>,
    },
    /// The token endpoint or the store fails just now.
    #[error("{detail}")]
    Unavailable {
        /// What happened and which setting helps.
        detail: String,
        /// When bearerd tries again.
        retry_after: Option<Duration>,
    },
    /// The provider refused the subject.
    #[error("{detail}")]
    SubjectRejected {
        /// What happened.
        detail: String,
    },
    /// None came in time.
    #[error("no token came within {} ms", waited.as_millis())]
    Timeout {
        /// How long the caller waited.
        waited: Duration,
    },
    /// Too many callers wait already, or too many subjects are in use.
    #[error("{detail}")]
    Overloaded {
        /// Which bound was met.
        detail: String,
    },
}

/// A cloneable handle to the task of one credential and subject.
#[derive(Clone)]
pub struct TokenHandle(Arc<Inner>);

enum Inner {
    Fixed(Arc<Ready>),
}

impl TokenHandle {
    /// A handle that always has this.
    pub fn fixed(injection: Injection) -> Self {
        Self(Arc::new(Inner::Fixed(Arc::new(Ready {
            injection,
            position: Position::default(),
            expires: None,
        }))))
    }

    /// A usable token: the published one at once, else the one that comes within `patience`.
    pub async fn token(&self, patience: Duration) -> Result<Arc<Ready>, TokenError> {
        let _ = patience;
        match &*self.0 {
            Inner::Fixed(ready) => Ok(ready.clone()),
        }
    }

    /// After the API rejected `rejected`: a later token, or `None` where a renewal is of no use now (a fixed
    /// token, a cooldown), so that the rejection passes through.
    pub async fn renewed(&self, rejected: &Ready, patience: Duration) -> Result<Option<Arc<Ready>>, TokenError> {
        let _ = (rejected, patience);
        match &*self.0 {
            Inner::Fixed(_) => Ok(None),
        }
    }
}
