//! Small writes in one piece.
//!
//! hyper and rustls hand over what is to be written as a list of pieces, and the system takes a list (writev(2)) at a
//! greater cost than one piece (send(2)), by more than it takes to put a small answer's head and body together.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pending_read::PendingRead;

/// The most that is put together, in bytes: beyond it, copying costs more than it saves.
const SMALL: usize = 2048;

/// A stream that writes what is small at once, and tells the runtime of a read that waits only once.
#[derive(Debug)]
pub(super) struct OneWrite<S> {
    stream: S,
    reading: PendingRead,
}

impl<S> OneWrite<S> {
    /// This stream.
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            reading: PendingRead::default(),
        }
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OneWrite<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.get_mut().stream);
        if let [only] = from {
            return stream.poll_write(context, only);
        }
        let mut together = [0; SMALL];
        let mut length = 0;
        for piece in from {
            let Some(room) = together.get_mut(length..length + piece.len()) else {
                return stream.poll_write_vectored(context, from);
            };
            room.copy_from_slice(piece);
            length += piece.len();
        }
        stream.poll_write(context, &together[..length])
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for OneWrite<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, reading } = self.get_mut();
        reading.poll(Pin::new(stream), context, into)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// What was written, by the call that wrote it.
    #[derive(Default)]
    struct Written {
        pieces: Vec<Vec<u8>>,
        lists: Vec<usize>,
    }

    impl AsyncWrite for Written {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
            self.pieces.push(from.to_vec());
            Poll::Ready(Ok(from.len()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            from: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.lists.push(from.len());
            Poll::Ready(Ok(from.iter().map(|piece| piece.len()).sum()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[track_caller]
    fn written(pieces: &[&[u8]]) -> Written {
        let mut stream = OneWrite::new(Written::default());
        let list: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let context = &mut Context::from_waker(Waker::noop());
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        match Pin::new(&mut stream).poll_write_vectored(context, &list) {
            Poll::Ready(Ok(wrote)) => assert_eq!(wrote, length),
            other => panic!("{other:?}"),
        }
        stream.stream
    }

    #[test]
    fn what_is_small_is_one_piece_and_what_is_large_is_not_copied() {
        assert_eq!(written(&[b"head ", b"body"]).pieces, [b"head body"]);
        let exact = [b'x'; SMALL];
        assert_eq!(written(&[&exact[1..], b"y"]).pieces[0].len(), SMALL);
        assert_eq!(written(&[&exact, b"y"]).lists, [2]);
        let large = vec![b'x'; 10 * SMALL];
        assert_eq!(written(&[&large]).pieces, [large]);
        assert_eq!(written(&[]).pieces, [b""]);
    }
}
