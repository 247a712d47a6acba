//! The managers of a program, which a reload replaces.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;

use super::Manager;
use crate::name::CredentialName;

/// The managers of a program, by the names of their credentials. Clones see the same, and what replaces them.
#[derive(Clone)]
pub struct Managers(Arc<ArcSwap<BTreeMap<CredentialName, Manager>>>);

impl Managers {
    /// Those of now.
    pub fn now(&self) -> Arc<BTreeMap<CredentialName, Manager>> {
        self.0.load_full()
    }

    /// Puts these in their place.
    pub fn replace(&self, managers: Arc<BTreeMap<CredentialName, Manager>>) {
        self.0.store(managers);
    }
}

impl From<Arc<BTreeMap<CredentialName, Manager>>> for Managers {
    fn from(managers: Arc<BTreeMap<CredentialName, Manager>>) -> Self {
        Self(Arc::new(ArcSwap::new(managers)))
    }
}
