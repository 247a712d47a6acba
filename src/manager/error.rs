//! Why a caller gets no token.

use std::time::Duration;

use crate::clock::{Deadline, Now};

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
    #[error("no token came within {} ms: the token endpoint is slow, or a request that was cut off is waited for until its lease ends; `bearerd status` tells more", waited.as_millis())]
    Timeout {
        /// How long the caller waited.
        waited: Duration,
    },
    /// Too many callers wait already.
    #[error("{detail}")]
    Overloaded {
        /// Which bound was met.
        detail: String,
    },
}

impl TokenError {
    /// The same error, with the time that is left until the task tries again.
    pub(super) fn until(&self, until: Option<Deadline>, now: Now) -> Self {
        let mut error = self.clone();
        if let Self::LoginRequired { retry_after, .. } | Self::Unavailable { retry_after, .. } = &mut error
            && let Some(until) = until
        {
            // Less than a second would be "at once" in whole seconds.
            *retry_after = Some(until.remaining(now).max(Duration::from_secs(1)));
        }
        error
    }
}
