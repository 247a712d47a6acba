//! Binding addresses before anything is served.

mod file;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use self::file::SocketFile;
use crate::config::checked::{Access, Bind};

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
    /// Removes the socket's file in the end; systemd's has none of ours.
    file: Option<Arc<SocketFile>>,
}

/// The listening socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds an address; a Unix socket is its owner's alone. Must be called within the runtime.
    ///
    /// A Unix socket that nobody listens on any more is replaced.
    pub async fn bind(bind: &Bind) -> Result<Self, BindError> {
        Self::bind_for(bind, Access::default()).await
    }

    /// The same, for those whom `access` lets connect to a Unix socket.
    pub async fn bind_for(bind: &Bind, access: Access) -> Result<Self, BindError> {
        match bind {
            Bind::Tcp(address) => tcp(*address),
            Bind::Unix(path) => {
                let (listener, file) = file::bind(path, access)?;
                Ok(Self {
                    socket: Arc::new(Socket::Unix(listener)),
                    address: bind.clone(),
                    file: Some(Arc::new(file)),
                })
            }
        }
    }

    /// Lets others connect to a Unix socket than before; of systemd's its unit says who may.
    ///
    /// # Errors
    /// The system refuses; only the owner may connect then.
    pub fn set_access(&self, access: Access) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.set_access(access))
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
            file: None,
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
            file: None,
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
        file: None,
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
