//! Calling the running bearerd, on its probes or admin listener.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::Failure;
use crate::config::checked::Bind;

/// The largest answer that is read, in bytes.
const LARGEST_ANSWER: usize = 4 * 1024 * 1024;

/// What to ask.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// A body of JSON.
    pub(super) json: Option<String>,
    /// How long the whole may take.
    pub(super) patience: Duration,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Nobody listens there.
    #[error("no bearerd runs at {0}: start it with `bearerd run`, with the same config")]
    NobodyThere(String),
    /// The system won't let us.
    #[error("{address} can't be reached: {source}")]
    Unreachable { address: String, source: io::Error },
    /// It hung up, or what it said is not HTTP.
    #[error("{address} gave no answer: {reason}")]
    NoAnswer { address: String, reason: String },
    /// It took too long.
    #[error("{address} gave no answer within {} s", patience.as_secs())]
    TooSlow { address: String, patience: Duration },
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::failed(error)
    }
}

/// Asks, in a runtime of its own: a command does nothing else meanwhile.
pub(super) fn call(bind: &Bind, ask: &Ask<'_>) -> Result<(StatusCode, Bytes), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))?;
    let answer = runtime.block_on(async { timeout(ask.patience, answer(bind, ask)).await });
    let answer = answer.map_err(|_| CallError::TooSlow {
        address: shown(bind),
        patience: ask.patience,
    })?;
    Ok(answer?)
}

async fn answer(bind: &Bind, ask: &Ask<'_>) -> Result<(StatusCode, Bytes), CallError> {
    let unreachable = |source: io::Error| match source.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => CallError::NobodyThere(shown(bind)),
        _ => CallError::Unreachable {
            address: shown(bind),
            source,
        },
    };
    let talked = match bind {
        Bind::Tcp(address) => {
            let address = reachable(*address);
            let stream = TcpStream::connect(address).await.map_err(unreachable)?;
            talk(stream, &address.to_string(), ask).await
        }
        Bind::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(unreachable)?;
            talk(stream, "localhost", ask).await
        }
    };
    talked.map_err(|reason| CallError::NoAnswer {
        address: shown(bind),
        reason: reason.to_string(),
    })
}

async fn talk<S>(
    stream: S,
    host: &str,
    ask: &Ask<'_>,
) -> Result<(StatusCode, Bytes), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its errors reach the request as well.
    tokio::spawn(connection);
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(ask.path)
        .header(header::HOST, host);
    if ask.json.is_some() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let body = Full::new(Bytes::from(ask.json.clone().unwrap_or_default()));
    let response = sender.send_request(request.body(body)?).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await?;
    Ok((status, body.to_bytes()))
}

/// An address of this machine for one that means all of them.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// An address as the config writes it.
pub(super) fn shown(bind: &Bind) -> String {
    match bind {
        Bind::Tcp(address) => address.to_string(),
        Bind::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// The `detail` of a problem (RFC 9457), else the bare status.
pub(super) fn detail(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    serde_json::from_slice(body).map_or_else(
        |_| format!("bearerd answered {status}, which this command doesn't understand"),
        |problem: Problem| problem.detail,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_means_all_is_called_on_loopback() {
        let all = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(all("0.0.0.0:9900"), "127.0.0.1:9900");
        assert_eq!(all("[::]:9900"), "[::1]:9900");
        assert_eq!(all("10.0.0.7:9900"), "10.0.0.7:9900");
    }

    #[test]
    fn nobody_there_is_said_with_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let bind = Bind::Unix(place.path().join("admin.sock"));
        let ask = Ask {
            method: Method::GET,
            path: "/status",
            json: None,
            patience: Duration::from_secs(5),
        };
        let failure = call(&bind, &ask).unwrap_err().to_string();
        assert!(failure.starts_with("no bearerd runs at unix:"), "{failure}");
        assert!(failure.contains("`bearerd run`"), "{failure}");
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        let words = detail(StatusCode::NOT_FOUND, br#"{"status": 404, "detail": "no such thing"}"#);
        assert_eq!(words, "no such thing");
        assert!(detail(StatusCode::BAD_GATEWAY, b"<html>").contains("502"));
    }
}
