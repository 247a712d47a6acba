//! The store in this process's memory.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    Key, Pending,
    ledger::{Change, Ruling, StoreNow},
    random,
    transact::Transact,
};
use crate::{clock::Clock, credential::record::Record};

/// Records in a map, behind a lock that is never held across a wait.
pub(super) struct Memory {
    clock: Clock,
    records: Mutex<HashMap<Key, Record>>,
    subject_secret: Mutex<Option<[u8; 32]>>,
}

impl Memory {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            records: Mutex::default(),
            subject_secret: Mutex::default(),
        }
    }

    /// The map is whole even after a panic elsewhere: it is changed by one insertion or removal at a time.
    fn records(&self) -> MutexGuard<'_, HashMap<Key, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Transact for Memory {
    fn load<'a>(&'a self, key: &'a Key) -> Pending<'a, Option<Record>> {
        Box::pin(async move { Ok(self.records().get(key).cloned()) })
    }

    fn transact<'a, A: Send + 'static>(
        &'a self,
        key: &'a Key,
        _verb: &'static str,
        rule: impl Fn(Option<&Record>, StoreNow) -> Ruling<A> + Send + Sync + 'static,
    ) -> Pending<'a, A> {
        Box::pin(async move {
            let mut records = self.records();
            let Ruling { change, answer } = rule(records.get(key), StoreNow::of_host(self.clock.now()));
            match change {
                Change::Keep => {}
                Change::Put(record) => {
                    records.insert(key.clone(), *record);
                }
                Change::Remove => {
                    records.remove(key);
                }
            }
            Ok(answer)
        })
    }

    fn subject_secret(&self) -> Pending<'_, [u8; 32]> {
        Box::pin(async move {
            let fresh = random()?;
            let mut secret = self.subject_secret.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(*secret.get_or_insert(fresh))
        })
    }

    fn keys(&self) -> Pending<'_, Vec<Key>> {
        Box::pin(async move { Ok(self.records().keys().cloned().collect()) })
    }

    fn adopt_subject_secret<'a>(&'a self, secret: &'a [u8; 32]) -> Pending<'a, ()> {
        Box::pin(async move {
            *self.subject_secret.lock().unwrap_or_else(PoisonError::into_inner) = Some(*secret);
            Ok(())
        })
    }

    fn is_durable(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Memory;
    use crate::{
        clock::Clock,
        store::{Portable, conformance, transact::Ledgered},
    };

    #[tokio::test(flavor = "multi_thread")]
    async fn it_conforms() {
        let clock = Clock::manual();
        let store: Arc<dyn Portable> = Arc::new(Ledgered(Memory::new(clock.clone())));
        assert!(!store.is_durable());
        conformance::run(async || store.clone(), &clock).await;
    }
}
