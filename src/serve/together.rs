//! Writes that leave together.
//!
//! A write wakes whoever reads at the other end, and waking one who sleeps costs more than the write. With many answers
//! under way, each written as soon as it is ready, the caller takes one, sleeps, and is woken for the next. So an answer
//! that is ready waits until every task that can run has run, and then all of them are written in one go: the caller is
//! woken once, and the code that makes answers and the code that writes them each stay in the processor's cache meanwhile.
//! Who is alone waits for nobody.
//!
//! Requests to upstreams don't: measured the same way, that saved less than it cost.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
};

use crate::upstream::Bell;

/// A stream whose first write after a read lets all others go first that can run now.
#[derive(Debug)]
pub(super) struct Together<S> {
    stream: S,
    turn: Turn,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It was read from since the last write.
    Over,
    /// A write waits for it.
    Awaited,
    /// It lasts until the next read.
    Now,
}

impl<S> Together<S> {
    /// Writes to this stream leave together with those to others.
    pub(super) fn new(stream: S) -> Self {
        let (bell, waker) = Bell::new();
        Self {
            stream,
            turn: Turn::Over,
            bell,
            waker,
        }
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self.turn {
            Turn::Now => return Poll::Ready(()),
            Turn::Over => {
                self.bell.listen(context);
                self.turn = Turn::Awaited;
                // The runtime wakes those that yield after everybody else had a turn, and has looked for more who can run.
                if pin!(yield_now())
                    .poll(&mut Context::from_waker(&self.waker))
                    .is_pending()
                {
                    return Poll::Pending;
                }
            }
            Turn::Awaited => {
                self.bell.listen(context);
                // The task may have been woken by something else, or flush right after it wrote.
                if !self.bell.has_rung() {
                    return Poll::Pending;
                }
            }
        }
        self.turn = Turn::Now;
        Poll::Ready(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        if self.turn == Turn::Now {
            self.turn = Turn::Over;
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(context));
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// Reads a byte, notes it, answers it, notes that; what was noted by two who were asked at once.
    async fn noted<S>(stream: impl Fn(DuplexStream) -> S) -> Vec<&'static str>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let (mut asked, mut tasks) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (near, far) = duplex(16);
            let (mut stream, notes) = (stream(near), notes.clone());
            asked.push(far);
            tasks.push(tokio::spawn(async move {
                stream.read_u8().await.unwrap();
                notes.lock().unwrap().push("read");
                stream.write_u8(1).await.unwrap();
                notes.lock().unwrap().push("written");
            }));
        }
        for far in &mut asked {
            far.write_u8(0).await.unwrap();
        }
        for (task, far) in tasks.into_iter().zip(&mut asked) {
            task.await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), 1);
        }
        let notes = notes.lock().unwrap();
        notes.clone()
    }

    #[tokio::test]
    async fn what_was_read_together_is_written_together() {
        assert_eq!(noted(Together::new).await, ["read", "read", "written", "written"]);
        assert_eq!(noted(|stream| stream).await, ["read", "written", "read", "written"]);
    }

    #[tokio::test]
    async fn a_turn_lasts_until_the_next_read() {
        let (near, mut far) = duplex(64);
        let mut stream = Together::new(near);
        let mut polls = 0;
        let mut write = |stream: &mut Together<_>, context: &mut Context<'_>| {
            polls += 1;
            Pin::new(stream).poll_write(context, b"x")
        };
        let mut polled = async |stream: &mut Together<_>| {
            std::future::poll_fn(|context| {
                // Twice in one poll, as a flush does right after a write.
                let first = write(stream, context).is_ready();
                Poll::Ready((first, write(stream, context).is_ready()))
            })
            .await
        };
        assert_eq!(polled(&mut stream).await, (false, false));
        yield_now().await;
        assert_eq!(polled(&mut stream).await, (true, true));
        assert_eq!(polled(&mut stream).await, (true, true));
        far.write_u8(0).await.unwrap();
        stream.read_u8().await.unwrap();
        assert_eq!(polled(&mut stream).await, (false, false));
    }
}
