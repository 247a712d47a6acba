//! What is known of the connection that a request came on.

use std::net::SocketAddr;

/// A connection, as whoever accepted it describes it: an extension of each of its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The end on this side.
    pub local: Address,
    /// The caller's end.
    pub peer: Address,
    /// Whether callers speak TLS to us, so that their URLs begin with `https`.
    pub tls: bool,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Of a TCP connection.
    Tcp(SocketAddr),
    /// Of a Unix socket, which has no host to be called by.
    Unix,
}
