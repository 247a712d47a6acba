//! The file itself: whose it is, who may read it, and on what kind of file system.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::fault::Fault;
pub(super) use crate::private::Identity;
use crate::private::{identity, make_directory, make_file, mode_for_others};

/// Closing any descriptor of a file drops all of the process's locks on it (POSIX; "How To Corrupt An SQLite Database
/// File" §2.2), so a file is never opened here once SQLite may have it open: only a new one is, and one at a time.
static MAKING: Mutex<()> = Mutex::new(());

/// Makes the file where there is none, and refuses one that is no place for tokens. Returns its absolute path. Where
/// a file was `seen` before, it must be that one, and none is made.
pub(super) fn prepare(path: &Path, seen: Option<Identity>) -> Result<(PathBuf, Identity), Fault> {
    if seen.is_none() {
        make(path)?;
    }
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && seen.is_some() => return Err(Fault::Missing),
        metadata => metadata?,
    };
    if !metadata.is_file() {
        return Err(Fault::NotAFile);
    }
    let identity = identity(&metadata);
    if seen.is_some_and(|seen| seen != identity) {
        return Err(Fault::Another);
    }
    if let Some(mode) = mode_for_others(&metadata) {
        return Err(Fault::Exposed { mode });
    }
    // Where the path is a link, the journal stands beside the file and not beside the link.
    Ok((fs::canonicalize(path)?, identity))
}

/// Makes the file, and its directory, where there is none.
fn make(path: &Path) -> Result<(), Fault> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        make_directory(directory, true).map_err(|error| Fault::Directory {
            path: directory.into(),
            error,
        })?;
    }
    if let Some(kind) = network(directory)? {
        return Err(Fault::Network(kind));
    }
    let _making = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match make_file(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

/// The kind of a file system whose locks don't hold among machines ("How To Corrupt An SQLite Database File" §2.1), by
/// the magic numbers of statfs(2). Those that a virtual machine gets from its host (9p, virtiofs and others on FUSE)
/// are not among them: all processes that share the file run on one kernel there, and containers have nothing else.
#[cfg(target_os = "linux")]
fn network(directory: &Path) -> io::Result<Option<&'static str>> {
    // The type's width and sign differ between architectures; the numbers have thirty-two bits.
    Ok(name(rustix::fs::statfs(directory)?.f_type as u32))
}

/// Elsewhere the system gives no such number.
#[cfg(not(target_os = "linux"))]
fn network(_directory: &Path) -> io::Result<Option<&'static str>> {
    Ok(None)
}

#[cfg(target_os = "linux")]
fn name(magic: u32) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x564c => Some("NCP"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x00c3_6400 => Some("Ceph"),
        0x0bd0_0bd0 => Some("Lustre"),
        _ => None,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_network_file_system_is_known_by_its_number() {
        // CIFS's number has its highest bit set: negative where the type is signed and narrow.
        assert_eq!(name(0xff53_4d42_u32 as i32 as u32), Some("SMB"));
        assert_eq!(name(0x6969), Some("NFS"));
        assert_eq!(name(0xef53), None, "ext4");
        assert_eq!(network(&std::env::temp_dir()).unwrap(), None);
    }
}
