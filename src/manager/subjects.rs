//! One task per subject, made when it is first asked for and ended when it has been idle.
//!
//! A credential that nobody uses has no subjects in memory, and then neither a task nor a timer.
//!
//! What is bounded, and how: the subjects in memory by `max_subjects` and [`IDLE`]; the token requests that they make
//! at a time by [`MOST_EXCHANGES`]; the tries of a subject that the provider refuses by its lifecycle's back-off.
//! A subject that was never accepted leaves no record.

mod secret;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::{future::Cache, policy::EvictionPolicy};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Semaphore, watch};

use self::secret::Secret;
use super::{Environment, TokenError, TokenHandle, task::Task};
use crate::{
    credential::Spec,
    store::{Key, StoreError},
    upstream::Exchange,
};

/// A subject that nobody asked for this long is dropped from memory; its next use reads the store once. Longer than
/// the longest back-off of a refused one, so that the refusal is not forgotten with it.
const IDLE: Duration = Duration::from_secs(10 * 60);
/// How often idle subjects are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// The most token requests that a credential's subjects make at a time. Whoever sends made-up subjects causes a token
/// request for each, and the provider would count them against the client that all of the subjects share.
const MOST_EXCHANGES: usize = 128;

/// The handles of a credential's subjects.
pub(super) struct Subjects {
    spec: Arc<Spec>,
    exchange: Exchange,
    environment: Environment,
    secret: Secret,
    /// Made for the first of them: empty, it takes tens of kibibytes.
    handles: OnceLock<Cache<Key, TokenHandle>>,
    turns: Arc<Semaphore>,
    /// Whether somebody looks for idle ones: nobody does while there are none.
    is_swept: Arc<AtomicBool>,
    /// Ends the sweep when it is dropped.
    alive: watch::Sender<()>,
}

impl Subjects {
    pub(super) fn new(spec: Arc<Spec>, exchange: Exchange, environment: Environment) -> Self {
        Self {
            secret: Secret::new(environment.store.clone(), environment.clock.clone()),
            spec,
            exchange,
            environment,
            turns: Arc::new(Semaphore::new(MOST_EXCHANGES)),
            is_swept: Arc::default(),
            alive: watch::Sender::new(()),
            handles: OnceLock::new(),
        }
    }

    fn handles(&self) -> &Cache<Key, TokenHandle> {
        self.handles.get_or_init(|| {
            Cache::builder()
                // An eviction ends no spend: a task finishes what it has begun, and its record stays in the store.
                .max_capacity(self.spec.policy.max_subjects)
                .time_to_idle(IDLE)
                // Frequency-based admission could turn a new subject away for ever.
                .eviction_policy(EvictionPolicy::lru())
                .build()
        })
    }

    /// The handle of a subject, within `patience`.
    pub(super) async fn handle(
        &self,
        subject: &[(String, SecretString)],
        patience: Duration,
    ) -> Result<TokenHandle, TokenError> {
        tokio::time::timeout(patience, self.find(subject))
            .await
            .unwrap_or_else(|_| Err(silent(patience)))
    }

    async fn find(&self, subject: &[(String, SecretString)]) -> Result<TokenHandle, TokenError> {
        let secret = self.secret.read().await.map_err(|error| unavailable(&error))?;
        let parts = subject.iter().map(|(_, value)| value.expose_secret());
        let key = Key::of_subject(&self.spec.name, &secret, parts);
        // The initialiser only spawns: a caller that goes away in it takes nothing along.
        let make = async {
            Task::spawn(
                self.spec.clone(),
                self.exchange.clone(),
                self.environment.clone(),
                key.clone(),
                subject.to_vec(),
                Some(self.turns.clone()),
            )
        };
        let handles = self.handles();
        let handle = handles.try_get_with(key.clone(), make).await;
        // After the insertion, so that a sweep that ends meanwhile has either seen it or is followed by this one.
        if !self.is_swept.load(Ordering::SeqCst) && !self.is_swept.swap(true, Ordering::SeqCst) {
            let (handles, is_swept) = (handles.clone(), self.is_swept.clone());
            tokio::spawn(sweep(handles, is_swept, self.alive.subscribe()));
        }
        handle.map_err(|error| unavailable(&error))
    }

    pub(super) fn count(&self) -> u64 {
        // moka's own count lags behind until its housekeeping has run.
        self.handles.get().map_or(0, |handles| handles.iter().count() as u64)
    }
}

/// The cache drops what is idle only when it is used, and who was the last to use it may have been so for hours. Ends
/// with the last subject, or with the credential.
async fn sweep(handles: Cache<Key, TokenHandle>, is_swept: Arc<AtomicBool>, mut alive: watch::Receiver<()>) {
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            // Nothing is ever sent: the credential is gone.
            _ = alive.changed() => return,
        }
        handles.run_pending_tasks().await;
        if handles.entry_count() > 0 {
            continue;
        }
        is_swept.store(false, Ordering::SeqCst);
        // One that came between the count and that found a sweep, and relies on it.
        handles.run_pending_tasks().await;
        if handles.entry_count() == 0 || is_swept.swap(true, Ordering::SeqCst) {
            return;
        }
    }
}

/// Not [`TokenError::Timeout`], which blames the token endpoint: nothing has been asked of it yet.
fn silent(waited: Duration) -> TokenError {
    TokenError::Unavailable {
        detail: format!(
            "the token store did not say within {} ms which key its subjects are kept under; see that it can be reached",
            waited.as_millis()
        ),
        retry_after: Some(Duration::from_secs(1)),
    }
}

fn unavailable(error: &StoreError) -> TokenError {
    TokenError::Unavailable {
        detail: error.to_string(),
        retry_after: Some(Duration::from_secs(1)),
    }
}
