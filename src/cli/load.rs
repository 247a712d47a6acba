//! Loading the config for a command.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    sync::Arc,
};

use super::Failure;
use crate::{
    config::{self, Addresses, Faults, Loaded, Surroundings},
    credential::Spec,
    name::CredentialName,
};

/// Loads the config; warnings go to standard error.
pub(super) fn load(files: &[PathBuf]) -> Result<Loaded, Failure> {
    let loaded = config::load(files, &Surroundings::of_process()).map_err(failure)?;
    let mut errors = io::stderr().lock();
    for warning in &loaded.warnings {
        // A warning that can't be written is no reason to fail.
        let _ = writeln!(errors, "{warning}");
    }
    Ok(loaded)
}

/// Where the running one listens for commands; needs none of the config's secrets.
pub(super) fn addresses(files: &[PathBuf]) -> Result<Addresses, Failure> {
    config::addresses(files, &Surroundings::of_process()).map_err(failure)
}

/// What the credentials ask for; needs none of the config's secrets.
pub(super) fn specs(files: &[PathBuf]) -> Result<BTreeMap<CredentialName, Arc<Spec>>, Failure> {
    config::specs(files, &Surroundings::of_process()).map_err(failure)
}

fn failure(faults: Faults) -> Failure {
    Failure::Config(faults.to_string())
}
