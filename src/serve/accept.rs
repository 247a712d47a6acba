//! The accept loop.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpStream, UnixStream},
    task::JoinSet,
};

use super::{
    answers::Answers,
    bind::{Bound, Socket},
    connection::{Boxed, Options, run, run_secured},
    drain::Drain,
    together::Together,
};
use crate::proxy::{Address, Connection, Process, Proof};

/// How long to wait when the system gives no more connections, usually for want of file descriptors (EMFILE):
/// trying again at once would only burn the processor that the open ones need to finish.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Accepts connections and serves each in a task of its own. Once the drain has started it accepts those that wait
/// already and no more, and returns when the last connection has ended; dropping the future cuts off those that are
/// left.
///
/// `services` makes the service of each connection's requests. It must be ready at any time, and answer for itself where
/// it isn't: nothing here waits for it.
pub async fn serve<M, S>(bound: Bound, services: M, options: Options, mut drain: Drain)
where
    M: Fn(Connection) -> S + Send + Sync + 'static,
    S: Answers,
{
    let services = Arc::new(services);
    let options = Arc::new(options);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            // First: who comes after this is the next one's, which may have other rules.
            () = drain.started() => break,
            // Collected as they end, or a busy listener's set would grow without bound.
            Some(_) = connections.join_next() => continue,
            accepted = accept(&bound.socket) => accepted,
        };
        match accepted {
            Ok(accepted) => attend(&mut connections, accepted, &services, &options, &drain),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted for the moment");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Closed before the wait, so that nobody queues up for a server that is going away. Whoever is in the queue
    // already has been told by the system that the connection is made, and may have sent a request. Where another
    // server has the socket too, the queue is that one's.
    if let Some(socket) = Arc::into_inner(bound.close()) {
        for accepted in waiting(socket) {
            attend(&mut connections, accepted, &services, &options, &drain);
        }
    }
    while connections.join_next().await.is_some() {}
}

fn attend<M, S>(
    connections: &mut JoinSet<()>,
    (stream, connection): (Stream, Connection),
    services: &Arc<M>,
    options: &Arc<Options>,
    drain: &Drain,
) where
    M: Fn(Connection) -> S + Send + Sync + 'static,
    S: Answers,
{
    let (options, drain) = (options.clone(), drain.clone());
    // Plain TCP is what nearly everybody speaks, and the one whose answers leave together; the others share a kind of their
    // own, for what serves a connection is large.
    match (stream, options.tls.as_ref().map(|tls| tls.load_full())) {
        (Stream::Tcp(stream), None) => {
            let (stream, service) = (Together::new(stream), services(connection));
            connections.spawn(async move { run(stream, service, &options, drain).await });
        }
        (Stream::Unix(stream), None) => {
            let (stream, service) = (Stream::Unix(stream).boxed(), services(connection));
            connections.spawn(async move { run(stream, service, &options, drain).await });
        }
        (stream, Some(tls)) => {
            let (stream, services) = (stream.boxed(), services.clone());
            let running = async move { run_secured(stream, connection, tls, services, &options, drain).await };
            connections.spawn(running);
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn boxed(self) -> Boxed {
        match self {
            Self::Tcp(stream) => Box::new(stream),
            Self::Unix(stream) => Box::new(stream),
        }
    }
}

async fn accept(socket: &Socket) -> io::Result<(Stream, Connection)> {
    match socket {
        Socket::Tcp(listener) => {
            let (stream, peer) = listener.accept().await?;
            Ok(of_tcp(stream, peer))
        }
        Socket::Unix(listener) => {
            let (stream, _) = listener.accept().await?;
            Ok(of_unix(stream))
        }
    }
}

fn of_tcp(stream: TcpStream, peer: SocketAddr) -> (Stream, Connection) {
    // Nagle's algorithm would hold back the ends of answers. A socket that won't is still good.
    let _ = stream.set_nodelay(true);
    let connection = Connection {
        // One that has no address any more has no host to be called by either.
        local: stream.local_addr().map_or(Address::Unix, Address::Tcp),
        peer: Address::Tcp(peer),
        tls: false,
        proof: Proof::default(),
    };
    (Stream::Tcp(stream), connection)
}

fn of_unix(stream: UnixStream) -> (Stream, Connection) {
    // Where the system doesn't say who it is, it is nobody that a config names.
    let process = stream.peer_cred().ok().map(|it| Process {
        user: it.uid(),
        group: it.gid(),
    });
    let connection = Connection {
        local: Address::Unix,
        peer: Address::Unix,
        tls: false,
        proof: Proof {
            certificate: None,
            process,
        },
    };
    (Stream::Unix(stream), connection)
}

/// The connections that wait in the system's queue, which is asked itself: the runtime may not have heard of them
/// yet. The socket is closed after the last.
fn waiting(socket: Socket) -> Vec<(Stream, Connection)> {
    let mut waiting = Vec::new();
    match socket {
        Socket::Tcp(listener) => {
            let Ok(listener) = listener.into_std() else {
                return waiting;
            };
            loop {
                let accepted = listener.accept().and_then(|(stream, peer)| {
                    stream.set_nonblocking(true)?;
                    Ok(of_tcp(TcpStream::from_std(stream)?, peer))
                });
                match accepted {
                    Ok(accepted) => waiting.push(accepted),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => return waiting,
                }
            }
        }
        Socket::Unix(listener) => {
            let Ok(listener) = listener.into_std() else {
                return waiting;
            };
            loop {
                let accepted = listener.accept().and_then(|(stream, _)| {
                    stream.set_nonblocking(true)?;
                    Ok(of_unix(UnixStream::from_std(stream)?))
                });
                match accepted {
                    Ok(accepted) => waiting.push(accepted),
                    Err(error) if is_of_one_connection(&error) => {}
                    Err(_) => return waiting,
                }
            }
        }
    }
}

/// Whether only the connection that was about to be accepted is lost (accept(2): already pending network errors).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}
