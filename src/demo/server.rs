//! Listening, TLS and connections.

use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use super::endpoint::Endpoint;

/// How long a client may take over its TLS handshake, or over a request's head.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait before accepting again, when the machine is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until it is dropped, and its connections with it.
pub(super) async fn serve(listener: TcpListener, tls: TlsAcceptor, endpoint: Arc<Endpoint>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), Arc::clone(&endpoint)));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, endpoint: Arc<Endpoint>) {
    if endpoint.unreachable.load(Ordering::Relaxed) {
        return;
    }
    // Small answers should leave at once; where the option is refused they merely leave later.
    let _ = stream.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(PATIENCE, tls.accept(stream)).await else {
        return;
    };
    let sni = stream.get_ref().1.server_name().map(str::to_owned);
    let close = Arc::new(Notify::new());
    let service = service_fn(|request| {
        let (endpoint, sni, close) = (Arc::clone(&endpoint), sni.clone(), Arc::clone(&close));
        async move { Ok::<_, Infallible>(endpoint.answer(request, sni, &close).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder.http2().timer(TokioTimer::new());
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    // However it ends, there is nobody left to tell.
    tokio::select! {
        _ = serving => {}
        () = close.notified() => {}
    }
}
