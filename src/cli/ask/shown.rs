//! A terminal that can't be told to hide what is typed.

use std::io;

/// Can't be had.
pub(super) struct NoEcho;

impl NoEcho {
    pub(super) fn start() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
