//! One connection: the name, TCP, TLS.

use std::{error::Error, io, pin::pin, sync::Arc, time::Duration};

use http::{Uri, uri::Scheme};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;
use tower::Service;

use super::{
    Proxy, Settings, SettingsError, UpstreamError,
    error::{chain, tls_error, tls_words},
    one_write::OneWrite,
    tls,
};

/// How long a connection is silent before the kernel probes it: shorter than the five minutes after which common
/// firewalls and NAT gateways forget one.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A connection, with TLS or plain.
pub(super) type Stream = TokioIo<Either<TlsStream<OneWrite<TcpStream>>, OneWrite<TcpStream>>>;

/// Whether its two ends have agreed on HTTP/2 (RFC 7301).
pub(super) fn speaks_http2(stream: &Stream) -> bool {
    match stream.inner() {
        Either::Left(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        Either::Right(_) => false,
    }
}

/// Makes connections. Clones are cheap.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
    server_name: Option<ServerName<'static>>,
    proxy: Option<Arc<Proxy>>,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // One address that doesn't answer leaves time for the next.
        tcp.set_connect_timeout(Some(settings.connect_timeout));
        Ok(Self {
            tcp,
            tls: TlsConnector::from(Arc::new(tls::client_config(&settings.tls)?)),
            server_name: settings.tls.server_name.clone(),
            proxy: settings.proxy.clone().map(Arc::new),
            timeout: settings.connect_timeout,
        })
    }

    /// One that agrees on nothing but HTTP/1.1, of which alone a connection can be given away.
    pub(super) fn http1_only(mut self) -> Self {
        let mut config = ClientConfig::clone(self.tls.config());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        self.tls = TlsConnector::from(Arc::new(config));
        self
    }

    /// Connects to the URI's host, TLS included.
    pub(super) async fn connect(mut self, uri: Uri) -> Result<Stream, UpstreamError> {
        let host = host_of(&uri);
        let mut expiry = pin!(tokio::time::sleep(self.timeout));
        let proxy = self.proxy.filter(|proxy| proxy.serves(&uri));
        let opened = async {
            let Some(proxy) = proxy else {
                return self.tcp.call(uri.clone()).await.map_err(|error| tcp_words(&error, ""));
            };
            let place = proxy.uri().unwrap_or_default();
            let tcp = self.tcp.call(place).await;
            let mut tcp = tcp.map_err(|error| tcp_words(&error, &format!("through its proxy {proxy}: ")))?;
            proxy.open(tcp.inner_mut(), &uri).await?;
            Ok(tcp)
        };
        let tcp = tokio::select! {
            biased;
            tcp = opened => tcp.map_err(|reason| UpstreamError::Unreachable {
                reason,
                host: host.clone(),
            })?,
            () = &mut expiry => return Err(UpstreamError::Unreachable {
                reason: format!("no connection within {} ms (connect_timeout)", self.timeout.as_millis()),
                host,
            }),
        };
        let tcp = OneWrite::new(tcp.into_inner());
        if uri.scheme() != Some(&Scheme::HTTPS) {
            return Ok(TokioIo::new(Either::Right(tcp)));
        }
        let name = match self.server_name {
            Some(name) => name,
            None => server_name(&uri).ok_or_else(|| UpstreamError::Tls {
                reason: "the url's host is no name that a certificate can have; set tls.server_name".into(),
                host: host.clone(),
            })?,
        };
        tokio::select! {
            biased;
            tls = self.tls.connect(name, tcp) => match tls {
                Ok(tls) => Ok(TokioIo::new(Either::Left(tls))),
                Err(error) => Err(UpstreamError::Tls { host, reason: handshake_words(&error) }),
            },
            () = &mut expiry => Err(UpstreamError::Tls {
                reason: format!("the handshake took more than {} ms (connect_timeout)", self.timeout.as_millis()),
                host,
            }),
        }
    }
}

/// Host, and port where it is not the scheme's own: what Host says (RFC 9110 §7.2), without what else an authority
/// may hold.
pub(super) fn host_of(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let own = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    match uri.port_u16().filter(|port| *port != own) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn server_name(uri: &Uri) -> Option<ServerName<'static>> {
    let host = uri.host()?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    ServerName::try_from(bare.to_owned()).ok()
}

fn io_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

fn tcp_words(error: &(dyn Error + 'static), through: &str) -> String {
    let check = if through.is_empty() {
        "check the host and port in the url"
    } else {
        "check the setting proxy"
    };
    if error.to_string().contains("dns") {
        return format!("{through}its name can't be resolved ({}); {check}", chain(error));
    }
    match io_error(error).map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => format!("{through}nothing listens there; {check}"),
        Some(io::ErrorKind::TimedOut) => {
            format!("{through}no connection in time (connect_timeout); {check}, and firewalls")
        }
        _ => format!("{through}{}", chain(error)),
    }
}

fn handshake_words(error: &io::Error) -> String {
    match tls_error(error) {
        Some(tls) => tls_words(tls),
        None => format!("it ended the connection during the handshake ({error}); check that the port speaks TLS"),
    }
}
