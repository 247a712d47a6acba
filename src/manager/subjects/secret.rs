//! The key that subjects' keys are made with, read from the store once for all callers.
//!
//! A task of its own reads it, one at a time, and all callers share what comes of it: a store that can't be reached
//! costs them one wait together, and a caller that goes away takes nothing along.

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle};

use crate::{
    clock::{Clock, Deadline},
    store::{StoreError, TokenStore},
};

/// How long a failure answers those who come after it; then the store is asked again.
const FAILURE_STANDS: Duration = Duration::from_secs(1);

/// The key, or the way to it.
pub(super) struct Secret {
    store: Arc<dyn TokenStore>,
    clock: Clock,
    known: Arc<OnceLock<[u8; 32]>>,
    /// The latest read.
    asked: Mutex<Option<Asked>>,
}

/// One read of the store.
struct Asked {
    failed: watch::Receiver<Option<Failed>>,
    reader: AbortHandle,
}

#[derive(Clone)]
struct Failed {
    error: StoreError,
    until: Deadline,
}

impl Drop for Secret {
    fn drop(&mut self) {
        let asked = self.asked.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = asked {
            // Nothing depends on it, and a store that hangs would keep it for ever.
            asked.reader.abort();
        }
    }
}

impl Secret {
    pub(super) fn new(store: Arc<dyn TokenStore>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            known: Arc::new(OnceLock::new()),
            asked: Mutex::new(None),
        }
    }

    /// The key. Whoever has no time to wait for it drops the future.
    ///
    /// # Errors
    /// The store's, as all callers of the same read get it.
    pub(super) async fn read(&self) -> Result<[u8; 32], StoreError> {
        if let Some(secret) = self.known.get() {
            return Ok(*secret);
        }
        match self.ask().wait_for(Option::is_some).await.as_deref() {
            Ok(Some(failed)) => Err(failed.error.clone()),
            // A reader that ends without a failure has made the key known, unless it was ended with the program.
            _ => self.known.get().copied().ok_or_else(|| StoreError {
                store: "token",
                verb: "read the key of its subjects",
                reason: "bearerd is shutting down".into(),
            }),
        }
    }

    /// Joins the read under way or the failure that still stands, else begins a read.
    fn ask(&self) -> watch::Receiver<Option<Failed>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = &*asked {
            let stands = match &*asked.failed.borrow() {
                Some(failed) => !failed.until.has_passed(self.clock.now()),
                // Still being read, or known since this caller looked.
                None => asked.failed.has_changed().is_ok() || self.known.get().is_some(),
            };
            if stands {
                return asked.failed.clone();
            }
        }
        let (tell, failed) = watch::channel(None);
        let (store, clock, known) = (self.store.clone(), self.clock.clone(), self.known.clone());
        let reader = tokio::spawn(async move {
            match store.subject_secret().await {
                Ok(secret) => {
                    // Only one reader runs at a time: nobody was first.
                    let _ = known.set(secret);
                }
                Err(error) => {
                    let until = Deadline::after(clock.now(), FAILURE_STANDS);
                    tell.send_replace(Some(Failed { error, until }));
                }
            }
        });
        *asked = Some(Asked {
            failed: failed.clone(),
            reader: reader.abort_handle(),
        });
        failed
    }
}
