//! A connection to a server: the name, TCP, TLS.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

use super::Fault;

/// How long a connection may take, TLS included.
pub(in crate::store) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Whom to trust, and who to be, on connections to a store.
#[derive(Clone)]
pub struct Tls {
    /// Without protocols to choose from (ALPN): neither server knows them.
    pub config: Arc<rustls::ClientConfig>,
    /// The name to ask for and to verify, instead of the server's.
    pub server_name: Option<ServerName<'static>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Encrypts one connection.
pub(in crate::store) struct Connector {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// For the server of this name.
    pub(in crate::store) fn connector(&self, host: &str) -> io::Result<Connector> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                io::Error::other("the host is no name that a certificate can have; set tls.server_name")
            })?,
        };
        Ok(Connector {
            connector: TlsConnector::from(self.config.clone()),
            name,
        })
    }
}

/// A connection, encrypted or not.
pub(in crate::store) enum Stream<S> {
    Plain(S),
    Tls(Box<tokio_rustls::client::TlsStream<S>>),
}

/// Connects to a server, encrypted where `tls` is given.
pub(in crate::store) async fn connect(host: &str, port: u16, tls: Option<&Tls>) -> Result<Stream<TcpStream>, Fault> {
    let address = format!("{host}:{port}");
    let connecting = async {
        let tcp = TcpStream::connect((host, port)).await.map_err(|error| {
            Fault::passing(format!(
                "{address} can't be reached ({error}); see that the server runs, and check state.url"
            ))
        })?;
        // A verb is a few short messages, each of which waits for its answer.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = tls else { return Ok(Stream::Plain(tcp)) };
        let encrypted = async { tls.connector(host)?.connect(tcp).await };
        encrypted.await.map_err(|error| tls_fault(&address, &error))
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(Fault::passing(format!(
                "{address} gave no connection within {} s; check state.url, and firewalls",
                CONNECT_TIMEOUT.as_secs()
            )))
        })
}

/// A handshake that failed: what rustls says about a certificate names no secret, and doesn't pass by itself.
fn tls_fault(address: &str, error: &io::Error) -> Fault {
    let reason =
        format!("the TLS handshake with {address} failed ({error}); check state.tls, and that the port speaks TLS");
    match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
        true => Fault::lasting(reason),
        false => Fault::passing(reason),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl Connector {
    async fn connect<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S) -> io::Result<Stream<S>> {
        let stream = self.connector.connect(self.name, stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// As PostgreSQL's client asks for TLS, once the server has agreed to it.
pub(in crate::store) struct MakeTls(pub(in crate::store) Tls);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for MakeTls {
    type Stream = Stream<S>;
    type TlsConnect = Connector;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connector> {
        self.0.connector(domain)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        Box::pin(self.connect(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for Stream<S> {
    /// SCRAM without binding to the channel: the certificate is verified by its name instead.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
