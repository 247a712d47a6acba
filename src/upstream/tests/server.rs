//! A server that does to each connection what a test says.

use std::{
    convert::Infallible,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(super) struct Server {
    pub(super) port: u16,
    is_tls: bool,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Hands each bare connection to `serve`.
    pub(super) async fn tcp<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = connections.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self {
            port,
            is_tls: false,
            connections,
            task,
        }
    }

    /// Hands each connection to `serve` once its handshake, if there is one, is done.
    pub(super) async fn start<F>(
        tls: Option<Arc<ServerConfig>>,
        serve: impl Fn(Box<dyn Io>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        let is_tls = tls.is_some();
        let acceptor = tls.map(TlsAcceptor::from);
        let mut server = Self::tcp(move |stream| {
            let (serve, acceptor) = (serve.clone(), acceptor.clone());
            async move {
                match acceptor {
                    None => serve(Box::new(stream)).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            serve(Box::new(stream)).await;
                        }
                    }
                }
            }
        })
        .await;
        server.is_tls = is_tls;
        server
    }

    /// Reads a whole HTTP/1.1 request, answers with these bytes and ends the connection.
    pub(super) async fn answering(tls: Option<Arc<ServerConfig>>, answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(tls, move |mut stream| {
            let answer = answer.clone();
            async move {
                read_request(&mut stream).await;
                stream.write_all(&answer).await.unwrap();
                let _ = stream.shutdown().await;
            }
        })
        .await
    }

    /// Speaks HTTP/1.1 and HTTP/2 as hyper does.
    pub(super) async fn http<F>(
        tls: Option<Arc<ServerConfig>>,
        respond: impl Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
    {
        let respond = Arc::new(respond);
        Self::start(tls, move |stream| {
            let respond = respond.clone();
            async move {
                let service = service_fn(move |request| {
                    let answer = respond(request);
                    async move { Ok::<_, Infallible>(answer.await) }
                });
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await
    }

    /// How many connections were made to it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn uri(&self) -> Uri {
        let scheme = if self.is_tls { "https" } else { "http" };
        self.uri_of(scheme)
    }

    pub(super) fn uri_of(&self, scheme: &str) -> Uri {
        format!("{scheme}://localhost:{}/token?password=canary", self.port)
            .parse()
            .unwrap()
    }
}

/// Reads a request's head and its declared body, and returns the head.
pub(super) async fn read_request(stream: &mut Box<dyn Io>) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap_or(0);
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return head.to_owned();
            }
        }
        if count == 0 {
            return text;
        }
    }
}
