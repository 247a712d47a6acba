//! Loading the config for a command.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::Failure;
use crate::config::{self, Loaded, Surroundings};

/// Loads the config; warnings go to standard error.
pub(super) fn load(files: &[PathBuf]) -> Result<Loaded, Failure> {
    let loaded =
        config::load(files, &Surroundings::of_process()).map_err(|faults| Failure::Config(faults.to_string()))?;
    let mut errors = io::stderr().lock();
    for warning in &loaded.warnings {
        // A warning that can't be written is no reason to fail.
        let _ = writeln!(errors, "{warning}");
    }
    Ok(loaded)
}
