//! Binding addresses before anything is served.

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::checked::Bind;

/// Only the user that bearerd runs as may connect: whoever can, acts with the credentials.
const SOCKET_MODE: u32 = 0o600;

/// How many connections may wait to be accepted: Linux's own bound (`net.core.somaxconn`) lowers it where it is less.
/// A burst beyond it meets resets, after data was sent. tokio's default is 1024, which a thousand callers at once fill.
const BACKLOG: u32 = 4096;

/// Why an address can't be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error("{address} is in use: stop what listens there, or change the 'bind' of this listener")]
    InUse {
        /// The address.
        address: String,
    },
    /// The path holds something that is not a socket, and is left alone.
    #[error("{} is there already and is not a socket: remove it, or change the 'bind' of this listener", path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{address} can't be bound: {source}")]
    Refused {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
}

/// A bound address that accepts connections once it is served; until then they wait in the system's queue.
///
/// Clones are the same socket, which is closed with the last: who serves it can change without a connection refused.
#[derive(Debug, Clone)]
pub struct Bound {
    pub(super) socket: Arc<Socket>,
    address: Bind,
    /// Removes the socket's file in the end.
    _file: Option<Arc<SocketFile>>,
}

/// The listening socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds an address. Must be called within the runtime.
    ///
    /// A Unix socket that nobody listens on any more is replaced.
    pub async fn bind(bind: &Bind) -> Result<Self, BindError> {
        match bind {
            Bind::Tcp(address) => tcp(*address),
            Bind::Unix(path) => unix(path),
        }
    }

    /// A socket that is bound already: systemd's, whose unit says who may connect. Must be called within the runtime.
    ///
    /// # Errors
    /// The system won't say where it is bound, or the runtime doesn't take it.
    pub fn of_tcp(listener: std::net::TcpListener) -> Result<Self, BindError> {
        let taken = || {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((TcpListener::from_std(listener)?, address))
        };
        let (listener, address) = taken().map_err(refused_of("a socket that was handed over"))?;
        Ok(Self {
            socket: Arc::new(Socket::Tcp(listener)),
            address: Bind::Tcp(address),
            _file: None,
        })
    }

    /// The same for a Unix socket, whose file is left where it is.
    ///
    /// # Errors
    /// As [`Bound::of_tcp`], and a socket without a path.
    pub fn of_unix(listener: std::os::unix::net::UnixListener) -> Result<Self, BindError> {
        let taken = || {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            let path = address.as_pathname().ok_or(io::ErrorKind::Unsupported)?;
            Ok((UnixListener::from_std(listener)?, path.to_owned()))
        };
        let (listener, path) = taken().map_err(refused_of("a socket that was handed over"))?;
        Ok(Self {
            socket: Arc::new(Socket::Unix(listener)),
            address: Bind::Unix(path),
            _file: None,
        })
    }

    /// Where it listens, with the port that port 0 became.
    pub fn address(&self) -> &Bind {
        &self.address
    }

    /// The socket, to be closed; its file, if it has one, goes at once unless a clone of this is left.
    pub(super) fn close(self) -> Arc<Socket> {
        self.socket
    }

    /// The address, if it is a TCP one.
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        match self.address {
            Bind::Tcp(address) => Some(address),
            Bind::Unix(_) => None,
        }
    }
}

fn refused_of(address: &'static str) -> impl Fn(io::Error) -> BindError {
    |source| BindError::Refused {
        address: address.into(),
        source,
    }
}

fn tcp(address: SocketAddr) -> Result<Bound, BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse {
            address: address.to_string(),
        },
        _ => BindError::Refused {
            address: address.to_string(),
            source,
        },
    };
    let listener = listening(address).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok(Bound {
        socket: Arc::new(Socket::Tcp(listener)),
        address: Bind::Tcp(address),
        _file: None,
    })
}

fn listening(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart need not wait for old connections to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn unix(path: &Path) -> Result<Bound, BindError> {
    let refused = |source| BindError::Refused {
        address: format!("unix:{}", path.display()),
        source,
    };
    if let Ok(there) = fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(BindError::NotASocket { path: path.into() });
        }
        // Only a refused connection proves that nobody listens any more.
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            _ => {
                return Err(BindError::InUse {
                    address: format!("unix:{}", path.display()),
                });
            }
        }
    }
    // Bound beside its place, closed to others, and only then moved there: at no time can others connect, and the
    // stale file is replaced in one step.
    let beside = path.with_file_name(format!(".{}", std::process::id()));
    let _ = fs::remove_file(&beside);
    let listener = UnixListener::bind(&beside).map_err(refused)?;
    let moved = fs::set_permissions(&beside, fs::Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| SocketFile::at(path));
    let file = moved.map_err(|source| {
        let _ = fs::remove_file(&beside);
        refused(source)
    })?;
    Ok(Bound {
        socket: Arc::new(Socket::Unix(listener)),
        address: Bind::Unix(path.into()),
        _file: Some(Arc::new(file)),
    })
}

/// The file of a Unix socket, removed when it is dropped, unless another process has put its own there since.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            inode: inode(path)?,
            path: path.into(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if inode(&self.path).is_ok_and(|now| now == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn inode(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|there| (there.dev(), there.ino()))
}
