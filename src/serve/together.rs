//! Answers that leave together.
//!
//! A write wakes whoever reads at the other end, and waking one who sleeps costs more than the write. With many answers
//! under way, each written as soon as it is there, the caller takes one, sleeps, and is woken for the next. So a small
//! answer is held until every task that can run has run, and then all of them are written in one go: the caller is woken
//! once. One that is alone costs a look for other work.

use std::{
    io::{self, IoSlice},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::yield_now,
};

use crate::upstream::PendingRead;

/// The most that is held, in bytes: what is larger costs more to copy than a wake-up does.
const SMALL: usize = 2048;

/// A connection whose small writes leave together with those of others. What the first task that writes has written is on
/// its way, whether or not it is flushed: where the system doesn't take it, that task is woken, and flushes or writes
/// whenever it is polled, as hyper does. Whoever has taken the connection over, as for a WebSocket, writes at once.
#[derive(Debug)]
pub(super) struct Together {
    read: OwnedReadHalf,
    reading: PendingRead,
    held: Arc<Held>,
    /// Woken like one that yields, it writes what is held.
    turn: Waker,
}

/// What is to be written, and where to. In a share of its own, for its turn comes when the connection's task doesn't run.
#[derive(Debug)]
struct Held {
    /// Its turn was not enough: the connection's task sees to the rest.
    is_left: AtomicBool,
    outgoing: Mutex<Outgoing>,
}

#[derive(Debug)]
struct Outgoing {
    stream: OwnedWriteHalf,
    bytes: Vec<u8>,
    /// Why what was held could not be written.
    failed: Option<io::Error>,
    /// The first that wrote.
    task: Option<Waker>,
}

impl Together {
    /// This connection.
    pub(super) fn new(stream: TcpStream) -> Self {
        let (read, stream) = stream.into_split();
        let held = Arc::new(Held {
            is_left: AtomicBool::new(false),
            outgoing: Mutex::new(Outgoing {
                stream,
                bytes: Vec::new(),
                failed: None,
                task: None,
            }),
        });
        let turn = Waker::from(held.clone());
        Self {
            read,
            reading: PendingRead::default(),
            held,
            turn,
        }
    }
}

impl Held {
    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        // What is done while it is held is done whole.
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is held; who writes to it next hears of a failure.
    fn poll_rest(&self, outgoing: &mut Outgoing, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !outgoing.bytes.is_empty() {
            match ready!(Pin::new(&mut outgoing.stream).poll_write(context, &outgoing.bytes)) {
                Ok(0) => outgoing.fail(io::ErrorKind::WriteZero.into()),
                Ok(wrote) => outgoing.wrote(wrote),
                Err(error) => outgoing.fail(error),
            }
        }
        self.is_left.store(false, Ordering::Relaxed);
        Poll::Ready(outgoing.failed.take().map_or(Ok(()), Err))
    }
}

impl Outgoing {
    fn wrote(&mut self, length: usize) {
        match length < self.bytes.len() {
            true => drop(self.bytes.drain(..length)),
            // Its memory too: most connections are idle most of the time.
            false => self.bytes = Vec::new(),
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.bytes = Vec::new();
        self.failed = Some(error);
    }

    /// Holds these, if nothing is held yet and their task is the one that sees to the rest.
    fn hold(&mut self, pieces: &[IoSlice<'_>], length: usize, context: &Context<'_>) -> bool {
        let task = self.task.get_or_insert_with(|| context.waker().clone());
        if !self.bytes.is_empty() || self.failed.is_some() || !task.will_wake(context.waker()) {
            return false;
        }
        self.bytes.reserve_exact(length);
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        true
    }
}

impl Wake for Held {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut outgoing = self.outgoing();
        if outgoing.bytes.is_empty() {
            return;
        }
        match outgoing.stream.try_write(&outgoing.bytes) {
            Ok(wrote) => outgoing.wrote(wrote),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => outgoing.fail(error),
        }
        if !outgoing.bytes.is_empty() || outgoing.failed.is_some() {
            self.is_left.store(true, Ordering::Relaxed);
            let task = outgoing.task.clone();
            drop(outgoing);
            if let Some(task) = task {
                task.wake();
            }
        }
    }
}

impl AsyncWrite for Together {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(from)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = from.iter().map(|piece| piece.len()).sum();
        let mut outgoing = self.held.outgoing();
        if length <= SMALL && outgoing.hold(from, length, context) {
            drop(outgoing);
            // The runtime wakes those that yield after everybody else had a turn, and has looked for more who can run.
            let _ = pin!(yield_now()).poll(&mut Context::from_waker(&self.turn));
            return Poll::Ready(Ok(length));
        }
        ready!(self.held.poll_rest(&mut outgoing, context))?;
        Pin::new(&mut outgoing.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.held.is_left.load(Ordering::Relaxed) {
            true => self.held.poll_rest(&mut self.held.outgoing(), context),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut outgoing = self.held.outgoing();
        ready!(self.held.poll_rest(&mut outgoing, context))?;
        Pin::new(&mut outgoing.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Together {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self {
            read, reading, held, ..
        } = self.get_mut();
        // Whoever has taken the connection over may read on and never write.
        if held.is_left.load(Ordering::Relaxed)
            && let failed @ Poll::Ready(Err(_)) = held.poll_rest(&mut held.outgoing(), context)
        {
            return failed;
        }
        reading.poll(Pin::new(read), context, into)
    }
}

impl Drop for Together {
    /// What it has taken is written now, if the system takes it: the program may end before its turn comes.
    fn drop(&mut self) {
        self.turn.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net, time::Duration};

    use proptest::prelude::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (Together, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        (Together::new(stream), client)
    }

    /// Nothing has come yet: the system is asked itself, for the runtime may not have looked.
    fn is_silent(client: &net::TcpStream) -> bool {
        let peeked = client.peek(&mut [0]);
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes large pieces until the system takes no more; how many bytes it took.
    async fn fill(stream: &mut Together) -> usize {
        let mut length = 0;
        std::future::poll_fn(|context| {
            let large = [b'x'; 4 * SMALL];
            while let Poll::Ready(wrote) = Pin::new(&mut *stream).poll_write(context, &large) {
                length += wrote.unwrap();
            }
            Poll::Ready(())
        })
        .await;
        length
    }

    #[tokio::test]
    async fn small_writes_leave_once_all_that_can_run_has_run() {
        let ((mut one, client), (mut other, client_of_other)) = (pair().await, pair().await);
        let mut clients = [client, client_of_other].map(|client| client.into_std().unwrap());
        one.write_all(b"one").await.unwrap();
        one.flush().await.unwrap();
        let first = clients[0].try_clone().unwrap();
        let written = tokio::spawn(async move {
            assert!(is_silent(&first), "not everybody had a turn");
            other.write_all(b"other").await.unwrap();
            other
        });
        let _other = written.await.unwrap();
        yield_now().await;
        for (client, said) in clients.iter_mut().zip(["one", "other"]) {
            // Nothing of the runtime runs meanwhile.
            client.set_nonblocking(false).unwrap();
            let mut read = vec![0; said.len()];
            client.read_exact(&mut read).unwrap();
            assert_eq!(read, said.as_bytes());
        }
    }

    #[tokio::test]
    async fn what_the_system_does_not_take_in_its_turn_is_written_when_the_client_reads() {
        let (mut stream, mut client) = pair().await;
        let mut expected = fill(&mut stream).await;
        // Room for this much at most, so not for all of it.
        let small = [b'y'; SMALL];
        let writer = tokio::spawn(async move {
            for _ in 0..100 {
                stream.write_all(&small).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            stream.shutdown().await.unwrap();
        });
        expected += 100 * SMALL;
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        writer.await.unwrap();
        assert_eq!(read.len(), expected);
        assert!(read.ends_with(&small));
    }

    #[tokio::test]
    async fn whoever_has_taken_the_connection_over_writes_at_once_and_has_the_rest_written() {
        let (mut stream, client) = pair().await;
        stream.write_all(b"switching").await.unwrap();
        yield_now().await;
        let mut client = client.into_std().unwrap();
        let taken_over = tokio::spawn(async move {
            stream.write_all(b" protocols").await.unwrap();
            // Nothing of the runtime runs meanwhile.
            client.set_nonblocking(false).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut read = [0; 19];
            client.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"switching protocols");
        });
        taken_over.await.unwrap();

        let (mut stream, mut client) = pair().await;
        let mut expected = fill(&mut stream).await;
        stream.flush().await.unwrap();
        stream.write_all(b"late").await.unwrap_or_default();
        expected += 4;
        yield_now().await;
        let reads = tokio::spawn(async move { stream.read(&mut [0]).await });
        let mut read = vec![0; expected];
        client.read_exact(&mut read).await.unwrap();
        assert!(read.ends_with(b"late"));
        drop(client);
        assert_eq!(reads.await.unwrap().unwrap(), 0);
    }

    #[tokio::test]
    async fn a_failure_in_its_turn_is_told_to_who_writes_or_flushes_next() {
        let (mut stream, client) = pair().await;
        client.set_zero_linger().unwrap();
        drop(client);
        stream.write_all(b"to nobody").await.unwrap();
        let failed = std::future::poll_fn(|context| match Pin::new(&mut stream).poll_flush(context) {
            // Its turn is still to come; then this task is woken.
            Poll::Ready(Ok(())) => Poll::Pending,
            other => other,
        });
        assert!(failed.await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_lost_at_the_end() {
        for is_shut_down in [true, false] {
            let (mut stream, client) = pair().await;
            stream.write_all(b"the last").await.unwrap();
            if is_shut_down {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            // Nothing of the runtime runs meanwhile, or ever again.
            let mut client = client.into_std().unwrap();
            client.set_nonblocking(false).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut read = [0; 8];
            client.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"the last");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn all_arrives_in_order(writes in proptest::collection::vec((0..3 * SMALL, any::<bool>(), any::<bool>()), 1..40)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (sent, read) = runtime.block_on(async {
                let (mut stream, mut client) = pair().await;
                let writer = tokio::spawn(async move {
                    let mut sent = Vec::new();
                    for (nth, (length, flushes, yields)) in writes.into_iter().enumerate() {
                        let piece = vec![nth as u8; length];
                        stream.write_all(&piece).await.unwrap();
                        sent.extend(piece);
                        if flushes {
                            stream.flush().await.unwrap();
                        }
                        if yields {
                            yield_now().await;
                        }
                    }
                    sent
                });
                let mut read = Vec::new();
                client.read_to_end(&mut read).await.unwrap();
                (writer.await.unwrap(), read)
            });
            prop_assert!(sent == read);
        }
    }
}
