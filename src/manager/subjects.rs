//! One task per subject, made when it is first asked for and ended when it has been idle.

use std::{sync::Arc, time::Duration};

use moka::{future::Cache, policy::EvictionPolicy};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use super::{Environment, TokenError, TokenHandle, task::Task};
use crate::{
    credential::Spec,
    store::{Key, StoreError},
    upstream::Exchange,
};

/// A subject that nobody asked for this long is dropped from memory.
const IDLE: Duration = Duration::from_secs(6 * 3600);

/// The handles of a credential's subjects.
pub(super) struct Subjects {
    spec: Arc<Spec>,
    exchange: Exchange,
    environment: Environment,
    secret: OnceCell<[u8; 32]>,
    handles: Cache<Key, TokenHandle>,
}

impl Subjects {
    pub(super) fn new(spec: Arc<Spec>, exchange: Exchange, environment: Environment) -> Self {
        let handles = Cache::builder()
            .max_capacity(spec.policy.max_subjects)
            .time_to_idle(IDLE)
            // Frequency-based admission could turn a new subject away for ever.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            spec,
            exchange,
            environment,
            secret: OnceCell::new(),
            handles,
        }
    }

    pub(super) async fn handle(&self, subject: &[(String, SecretString)]) -> Result<TokenHandle, TokenError> {
        let secret = self
            .secret
            .get_or_try_init(|| self.environment.store.subject_secret())
            .await
            .map_err(|error| unavailable(&error))?;
        let parts = subject.iter().map(|(_, value)| value.expose_secret());
        let key = Key::of_subject(&self.spec.name, secret, parts);
        // The initialiser only spawns: a caller that goes away in it takes nothing along.
        let make = async {
            Task::spawn(
                self.spec.clone(),
                self.exchange.clone(),
                self.environment.clone(),
                key.clone(),
                subject.to_vec(),
            )
        };
        self.handles
            .try_get_with(key.clone(), make)
            .await
            .map_err(|error| unavailable(&error))
    }

    pub(super) fn count(&self) -> u64 {
        // moka's own count lags behind until its housekeeping has run.
        self.handles.iter().count() as u64
    }
}

fn unavailable(error: &StoreError) -> TokenError {
    TokenError::Unavailable {
        detail: error.to_string(),
        retry_after: Some(Duration::from_secs(1)),
    }
}
