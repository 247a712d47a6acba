//! The least that hyper needs to do what `benches/compare` measures: it takes HTTP/1.1, removes `/api`, puts a fixed
//! `Authorization` in, and forwards over TLS on kept connections. No routes, no guard, no log, no limits, no replay.
//!
//! `minimal LISTEN UPSTREAM CA TOKEN`; the upstream is an address whose certificate names localhost.

use std::{
    convert::Infallible,
    env,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, HOST, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

type Fault = Box<dyn std::error::Error + Send + Sync>;

struct Upstream {
    address: SocketAddr,
    tls: TlsConnector,
    host: HeaderValue,
    authorization: HeaderValue,
    /// The connections that nobody uses, the one that was used last at the end.
    idle: Mutex<Vec<SendRequest<Incoming>>>,
}

impl Upstream {
    async fn connection(&self) -> Result<SendRequest<Incoming>, Fault> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut kept) = kept else { break };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn forward(self: Arc<Self>, mut request: Request<Incoming>) -> Result<Response<Answer>, Fault> {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() = target.strip_prefix("/api").unwrap_or(target).parse()?;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        let mut connection = self.connection().await?;
        let answer = connection.send_request(request).await?;
        Ok(answer.map(|body| Answer {
            body: Some(body),
            kept: Some((self, connection)),
        }))
    }
}

/// A body of the upstream, which gives its connection back when it ends.
struct Answer {
    body: Option<Incoming>,
    kept: Option<(Arc<Upstream>, SendRequest<Incoming>)>,
}

impl Answer {
    fn keep(&mut self) {
        if let Some((upstream, connection)) = self.kept.take() {
            upstream
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
            self.keep();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

fn bad_gateway(fault: &Fault) -> Response<Answer> {
    eprintln!("minimal: {fault}");
    let mut answer = Response::new(Answer { body: None, kept: None });
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let [listen, upstream, ca, token] = env::args()
        .skip(1)
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "four arguments")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    let tls = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let upstream = Arc::new(Upstream {
        address: upstream.parse()?,
        tls: TlsConnector::from(Arc::new(tls)),
        host: HeaderValue::from_static("localhost"),
        authorization: HeaderValue::try_from(format!("Bearer {token}"))?,
        idle: Mutex::default(),
    });
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = upstream.clone();
        let service = service_fn(move |request| {
            let forwarded = upstream.clone().forward(request);
            async { Ok::<_, Infallible>(forwarded.await.unwrap_or_else(|fault| bad_gateway(&fault))) }
        });
        tokio::spawn(async move {
            http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
        });
    }
}
