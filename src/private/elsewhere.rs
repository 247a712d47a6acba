//! Where there are no modes: what the directory hands down has to do, and one file is not told from another that
//! replaced it.

use std::{
    fs::{DirBuilder, Metadata, OpenOptions, metadata},
    io,
    path::Path,
};

use super::Identity;

/// Makes a directory, and with `recursive` those above it; one that is there is an error, unless `recursive`.
pub fn make_directory(path: &Path, recursive: bool) -> io::Result<()> {
    DirBuilder::new().recursive(recursive).create(path)
}

/// Makes an empty file; one that is there is an error.
pub fn make_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

/// Nothing is known of others.
pub fn mode_for_others(_: &Metadata) -> Option<u32> {
    None
}

/// The same for each file.
pub fn identity(_: &Metadata) -> Identity {
    Identity(0, 0)
}

/// Whether this user may make files there, as far as that can be seen.
pub fn can_make_files_in(directory: &Path) -> io::Result<()> {
    match metadata(directory)?.permissions().readonly() {
        true => Err(io::ErrorKind::PermissionDenied.into()),
        false => Ok(()),
    }
}
