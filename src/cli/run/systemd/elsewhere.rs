//! There is no systemd: nothing is told, and nothing is handed over.

use tokio::task::AbortHandle;

use crate::serve::{BindError, Bound};

/// None.
#[derive(Default)]
pub(super) struct Sockets;

impl Sockets {
    pub(super) fn take() -> Self {
        Self
    }

    pub(super) fn bound(self) -> Result<Vec<Bound>, BindError> {
        Ok(Vec::new())
    }
}

pub(super) fn ready() {}

pub(super) fn reloading() {}

pub(super) fn stopping() {}

pub(super) fn status(_: &str) {}

pub(super) fn watchdog() -> Option<AbortHandle> {
    None
}
