//! Telling HTTP/2 from HTTP/1 by a connection's first bytes.
//!
//! hyper-util's own detection has no timer: a client that connects and says nothing, or the beginning of an HTTP/2
//! preface and then nothing, would hold its connection for ever. Here both share one deadline.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::{Sleep, sleep, timeout},
};

/// What an HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a client may take nothing of what is written to it; noticed at twice that at the latest.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
}

/// Reads until the version is known; `None` where the client hung up or the deadline passed before that.
pub(super) async fn sniff<S>(mut stream: S, deadline: Duration) -> Option<(Version, Sniffed<S>)>
where
    S: AsyncRead + Unpin,
{
    let mut read = BytesMut::with_capacity(1024);
    let version = timeout(deadline, async {
        loop {
            let got = stream.read_buf(&mut read).await.ok()?;
            match got {
                0 => return None,
                _ if read.starts_with(PREFACE) => return Some(Version::Http2),
                _ if PREFACE.starts_with(&read) => {}
                _ => return Some(Version::Http1),
            }
        }
    });
    let version = version.await.ok().flatten()?;
    let sniffed = Sniffed {
        read,
        stream,
        held: None,
        stall: None,
        moved: false,
    };
    Some((version, sniffed))
}

/// A stream whose first bytes were read already, and are read again.
#[derive(Debug)]
pub(super) struct Sniffed<S> {
    read: BytesMut,
    stream: S,
    held: Option<oneshot::Sender<Infallible>>,
    /// Runs while the client takes nothing of what is written.
    stall: Option<Pin<Box<Sleep>>>,
    /// Whether it took something since that began: putting the timer off for each write would cost more than looking
    /// at its end.
    moved: bool,
}

impl<S> Sniffed<S> {
    /// Ends when the stream is dropped, whoever has it by then.
    pub(super) fn gone(&mut self) -> oneshot::Receiver<Infallible> {
        let (held, gone) = oneshot::channel();
        self.held = Some(held);
        gone
    }

    /// What a write came to; an error once none has come to anything for [`WRITE_TIMEOUT`].
    fn written(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.moved = true;
            return written;
        }
        loop {
            let begun = || {
                self.moved = false;
                Box::pin(sleep(WRITE_TIMEOUT))
            };
            ready!(self.stall.get_or_insert_with(begun).as_mut().poll(cx));
            self.stall = None;
            if !self.moved {
                break;
            }
        }
        let reason = "the client took nothing of its answer for too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, reason)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.read.len().min(buf.remaining());
        buf.put_slice(&self.read[..length]);
        self.read.advance(length);
        if self.read.is_empty() {
            // The connection may live for hours; its first kilobyte need not.
            self.read = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A small answer's end may be held back until here; the client has to take it too.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(flushed.map_ok(|()| 0), cx).map_ok(drop)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The same, and TLS has an end of its own to be taken.
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(ended.map_ok(|()| 0), cx).map_ok(drop)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    async fn sniffed(pieces: &[&[u8]]) -> Option<(Version, Vec<u8>)> {
        let (mut client, server) = duplex(1024);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let writer = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let (version, mut stream) = sniff(server, Duration::from_secs(5)).await?;
        writer.await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        Some((version, all))
    }

    #[tokio::test]
    async fn nothing_that_was_read_is_lost() {
        let (version, all) = sniffed(&[b"P", b"OST / HTTP/1.1\r\n"]).await.unwrap();
        assert_eq!((version, &*all), (Version::Http1, &b"POST / HTTP/1.1\r\n"[..]));
        let (version, all) = sniffed(&[&PREFACE[..5], &PREFACE[5..], b"frames"]).await.unwrap();
        assert_eq!(version, Version::Http2);
        assert_eq!(all, [PREFACE, b"frames"].concat());
        assert!(sniffed(&[b"PRI"]).await.is_none(), "hung up within the preface");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_given_up() {
        let (mut client, server) = duplex(64);
        client.write_all(b"GET ").await.unwrap();
        let (_, mut stream) = sniff(server, Duration::from_secs(5)).await.unwrap();
        let reader = tokio::spawn(async move {
            // Slow, and yet no stall.
            for _ in 0..3 {
                tokio::time::sleep(WRITE_TIMEOUT * 3 / 4).await;
                client.read_exact(&mut [0; 32]).await.unwrap();
            }
            client
        });
        let error = stream.write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(reader.await.expect("it could read on for all that time"));
    }

    /// A stream that gets no further.
    struct Stuck(DuplexStream);

    impl AsyncRead for Stuck {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl AsyncWrite for Stuck {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_not_read_is_given_up() {
        let (mut client, server) = duplex(64);
        client.write_all(b"GET ").await.unwrap();
        let (_, mut stream) = sniff(Stuck(server), Duration::from_secs(5)).await.unwrap();
        let ended = [
            stream.flush().await,
            stream.shutdown().await,
            stream.write_all(b"x").await,
        ];
        for ended in ended {
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_half_a_preface_end_at_the_deadline() {
        for said in [&b""[..], b"PRI * HTTP"] {
            let (mut client, server) = duplex(1024);
            client.write_all(said).await.unwrap();
            assert!(sniff(server, Duration::from_secs(5)).await.is_none());
        }
    }
}
