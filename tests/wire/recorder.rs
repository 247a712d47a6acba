//! A TLS server that writes down what arrives, byte for byte.

use std::{
    io::{BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::aws_lc_rs};
use rustls_pki_types::PrivateKeyDer;

use crate::message::Message;

/// A name that its certificate vouches for, and that nothing resolves.
pub(crate) const OTHER_NAME: &str = "api.example";

/// A request, and the name that the handshake asked for.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) sni: Option<String>,
    pub(crate) request: Message,
}

type Answer = dyn Fn(&Message) -> Vec<u8> + Send + Sync;

pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    ca_pem: String,
    seen: Arc<Mutex<Vec<Recorded>>>,
}

impl Recorder {
    /// Answers each request with these bytes.
    pub(crate) fn start(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (tls, ca_pem) = identity();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Self {
            address: listener.local_addr().unwrap(),
            ca_pem,
            seen: Arc::default(),
        };
        let (tls, answer, seen) = (Arc::new(tls), Arc::new(answer), recorder.seen.clone());
        // Threads end with the test's process; each waits for a socket that nobody uses any more.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer, seen) = (tls.clone(), answer.clone(), seen.clone());
                thread::spawn(move || serve(stream, tls, &*answer, &seen));
            }
        });
        recorder
    }

    /// Writes its authority's certificate there.
    pub(crate) fn write_ca(&self, path: &Path) {
        std::fs::write(path, &self.ca_pem).unwrap();
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Everything that arrived.
    pub(crate) fn seen(&self) -> Vec<Recorded> {
        self.seen.lock().unwrap().clone()
    }

    /// The last request that arrived.
    pub(crate) fn last(&self) -> Recorded {
        self.seen.lock().unwrap().last().expect("a request").clone()
    }
}

/// What a server of this host shows, and its authority's certificate.
pub(crate) fn identity() -> (ServerConfig, String) {
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".into(), OTHER_NAME.into(), "127.0.0.1".into()];
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
    let tls = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    (tls, ca.pem())
}

fn serve(stream: TcpStream, tls: Arc<ServerConfig>, answer: &Answer, seen: &Mutex<Vec<Recorded>>) {
    let _ = stream.set_nodelay(true);
    let connection = ServerConnection::new(tls).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(request) = Message::request(&mut stream) {
        let sni = stream.get_ref().conn.server_name().map(str::to_owned);
        let bytes = answer(&request);
        seen.lock().unwrap().push(Recorded { sni, request });
        if stream.get_mut().write_all(&bytes).is_err() {
            return;
        }
        let _ = stream.get_mut().flush();
        if bytes.starts_with(b"HTTP/1.1 101") {
            return echo(stream);
        }
    }
}

/// The protocol that is switched to: what comes goes back, until the other side has ended.
fn echo(mut stream: BufReader<StreamOwned<ServerConnection, TcpStream>>) {
    let mut bytes = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut bytes) {
        let written = stream.get_mut().write_all(&bytes[..read]);
        if written.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// A plain 200.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
