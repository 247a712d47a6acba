//! The file of a Unix socket: who may connect, from its first moment to its last.

use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use tokio::net::UnixListener;

use super::BindError;
use crate::config::checked::Access;

/// The file of a Unix socket, removed when it is dropped, unless another process has put its own there since.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
    /// The user and the group that the system gave it to.
    made: (u32, u32),
    access: Mutex<Access>,
}

/// Binds a Unix socket, and puts it there with this access.
pub(super) fn bind(path: &Path, access: Access) -> Result<(UnixListener, SocketFile), BindError> {
    let refused = |source| BindError::Refused {
        address: format!("unix:{}", path.display()),
        source,
    };
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(BindError::NotASocket { path: path.into() });
        }
        // Only a refused connection proves that nobody listens any more.
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            _ => {
                return Err(BindError::InUse {
                    address: format!("unix:{}", path.display()),
                });
            }
        }
    }
    // Bound in a directory that is closed to others, and moved from there once it is what it is to be: at no time can
    // others connect, whatever the process's umask is, and the stale file is replaced in one step.
    let closed = path.with_file_name(format!(".{}", std::process::id()));
    let beside = closed.join("s");
    let _ = fs::remove_file(&beside);
    let _ = fs::remove_dir(&closed);
    let bound = DirBuilder::new().mode(0o700).create(&closed).and_then(|()| {
        let listener = UnixListener::bind(&beside)?;
        let made = owners(&beside)?;
        give(&beside, access)?;
        let inode = inode(&beside)?;
        fs::rename(&beside, path)?;
        let file = SocketFile {
            path: path.into(),
            inode,
            made,
            access: Mutex::new(access),
        };
        Ok((listener, file))
    });
    let _ = fs::remove_file(&beside);
    let _ = fs::remove_dir(&closed);
    bound.map_err(refused)
}

fn give(path: &Path, access: Access) -> io::Result<()> {
    if access.owner.is_some() || access.group.is_some() {
        lchown(path, access.owner, access.group)?;
    }
    fs::set_permissions(path, Permissions::from_mode(access.mode))
}

impl SocketFile {
    /// Lets others connect than before. For a moment only the owner can, so that none of the next group comes in by the
    /// last one's mode.
    ///
    /// # Errors
    /// The system refuses; the socket is its owner's alone then.
    pub(super) fn set_access(&self, access: Access) -> io::Result<()> {
        let mut current = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == access || inode(&self.path)? != self.inode {
            return Ok(());
        }
        fs::set_permissions(&self.path, Permissions::from_mode(0o600))?;
        *current = Access {
            mode: 0o600,
            ..*current
        };
        // Whose it was before somebody else was named: who is named no more must not stay.
        let back = Access {
            owner: access.owner.or(current.owner.map(|_| self.made.0)),
            group: access.group.or(current.group.map(|_| self.made.1)),
            ..access
        };
        give(&self.path, back)?;
        *current = access;
        Ok(())
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn owners(path: &Path) -> io::Result<(u32, u32)> {
    fs::symlink_metadata(path).map(|there| (there.uid(), there.gid()))
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}
