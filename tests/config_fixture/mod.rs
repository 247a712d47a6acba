//! A config and everything around it, in memory.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use bearerd::config::{Faults, Loaded, Surroundings, load};

/// The surroundings of files and variables that are given here.
pub(crate) fn surroundings(files: &[(&str, &str)], env: &[(&str, &str)]) -> Surroundings {
    let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect()
    };
    let files = own(files);
    Surroundings {
        env: own(env),
        read: Box::new(
            move |path: &Path| match path.to_str().and_then(|path| files.get(path)) {
                Some(text) => Ok(text.clone().into_bytes()),
                None => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
            },
        ),
    }
}

/// Loads `bearerd.yaml` with this text.
#[allow(dead_code, reason = "not every test file that shares this module uses all of it")]
pub(crate) fn load_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, Faults> {
    load(
        &[PathBuf::from("bearerd.yaml")],
        &surroundings(&[("bearerd.yaml", text)], env),
    )
}
