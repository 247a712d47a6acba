//! By mode, device and inode.

use std::{
    fs::{DirBuilder, Metadata, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use rustix::fs::{Access, access};

use super::Identity;

/// The permissions of all but the owner.
const OTHERS: u32 = 0o077;

/// Makes a directory, and with `recursive` those above it; one that is there is an error, unless `recursive`.
pub fn make_directory(path: &Path, recursive: bool) -> io::Result<()> {
    DirBuilder::new().recursive(recursive).mode(0o700).create(path)
}

/// Makes an empty file; one that is there is an error.
pub fn make_file(path: &Path) -> io::Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map(drop)
}

/// The file's mode, if others than its owner may do anything with it.
pub fn mode_for_others(metadata: &Metadata) -> Option<u32> {
    let mode = metadata.mode() & 0o7777;
    (mode & OTHERS != 0).then_some(mode)
}

/// Which file it is: its device and its inode.
pub fn identity(metadata: &Metadata) -> Identity {
    Identity(metadata.dev(), metadata.ino())
}

/// Whether this user may make files there.
pub fn can_make_files_in(directory: &Path) -> io::Result<()> {
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}
