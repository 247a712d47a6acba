//! Files and directories that are this user's alone, as far as the system has such a thing.

#[cfg(not(unix))]
mod elsewhere;
#[cfg(unix)]
mod unix;

#[cfg(not(unix))]
pub use elsewhere::{can_make_files_in, identity, make_directory, make_file, mode_for_others};
#[cfg(unix)]
pub use unix::{can_make_files_in, identity, make_directory, make_file, mode_for_others};

/// Which file of the system it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64);
