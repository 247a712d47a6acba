//! TLS on a connection, before anything is read of HTTP.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::proxy::{Certificate, ERROR_HEADER, ProxyError};

/// The type of the first record of a handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// How long a client that spoke plain HTTP may take to read why that is of no use here.
const READS_WITHIN: Duration = Duration::from_secs(1);

/// Finishes the handshake: what is spoken within, and the certificate that the client showed; `None` where the client
/// hung up, failed, spoke something else or took longer than `deadline`.
pub(super) async fn secure<I>(
    mut stream: I,
    config: Arc<ServerConfig>,
    deadline: Duration,
) -> Option<(TlsStream<Begun<I>>, Option<Arc<Certificate>>)>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    let secured = timeout(deadline, async {
        let mut read = BytesMut::with_capacity(1024);
        let got = stream.read_buf(&mut read).await.ok()?;
        if got == 0 {
            return None;
        }
        if read[0] != HANDSHAKE {
            // A method's first letter; to anything else nothing sensible can be said.
            if read[0].is_ascii_alphabetic() {
                explain(stream).await;
            }
            return None;
        }
        match TlsAcceptor::from(config).accept(Begun { read, stream }).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                // rustls' words hold nothing of what was sent.
                tracing::info!(%error, "a TLS handshake failed");
                None
            }
        }
    });
    let stream = secured.await.ok().flatten()?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    let certificate = shown.and_then(Certificate::read).map(Arc::new);
    Some((stream, certificate))
}

/// Tells a client that speaks plain HTTP what to do.
async fn explain<I: AsyncRead + AsyncWrite + Unpin>(mut stream: I) {
    let error = ProxyError::BadRequest("this port speaks TLS: use https in the URL".into());
    let code = error.code();
    let (status, name) = (code.status(), code.as_str());
    let problem = serde_json::json!({
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": name,
        "detail": error.to_string(),
    })
    .to_string();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n{ERROR_HEADER}: {name}\r\n\
         connection: close\r\n\r\n{problem}",
        problem.len()
    );
    let told = async {
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // A socket that is closed with something unread is reset, and the answer may be lost (RFC 9112 §9.6).
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    // It may have gone.
    let _ = timeout(READS_WITHIN, told).await;
}

/// A stream whose first bytes were read already, and are read again.
#[derive(Debug)]
pub(super) struct Begun<I> {
    read: BytesMut,
    stream: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Begun<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..length]);
        self.read.advance(length);
        if self.read.is_empty() {
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Begun<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
