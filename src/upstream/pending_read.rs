//! Reads that wait already.
//!
//! hyper looks for more to read each time that a connection is polled for whatever reason, and each look that finds
//! nothing tells the runtime again whom to wake: under a lock, and for a task that it knows already.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, ReadBuf};

use super::bell::Bell;

/// Whether a read of one stream waits. The runtime is given a waker of this one's own: as long as that has not rung, the
/// runtime still has it, or a ring is still to come. (That something came can be seen a moment before whoever waits is
/// woken, and what is registered in between is woken for nothing: looking at the stream instead would miss that.)
#[derive(Debug, Default)]
pub struct PendingRead {
    bell: Bell,
    waits: bool,
}

impl PendingRead {
    /// Reads from this stream, which is always the same and is read in no other way.
    pub fn poll<S: AsyncRead>(
        &mut self,
        stream: Pin<&mut S>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // In this order: a ring from now on wakes this task, and one from before the read is forgotten.
        self.bell.listen(context);
        let has_rung = self.bell.has_rung();
        if self.waits && !has_rung {
            return Poll::Pending;
        }
        let read = stream.poll_read(&mut Context::from_waker(self.bell.waker()), into);
        self.waits = read.is_pending();
        read
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Wake, Waker},
        time::Duration,
    };

    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        task::{coop::consume_budget, yield_now},
    };

    use super::*;

    /// What tokio lets a task do in one turn.
    const TURN: usize = 128;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Task {
        fn wakes(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        /// Returns once it was woken so often.
        async fn woken(&self, times: usize) {
            while self.wakes() < times {
                yield_now().await;
            }
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, far)
    }

    fn poll(reading: &mut PendingRead, near: &mut TcpStream, task: &Arc<Task>) -> Poll<Vec<u8>> {
        let (waker, mut room) = (task.clone().into(), [0; 16]);
        let mut into = ReadBuf::new(&mut room);
        let polled = reading.poll(Pin::new(near), &mut Context::from_waker(&waker), &mut into);
        polled.map(|read| {
            read.unwrap();
            into.filled().to_vec()
        })
    }

    #[tokio::test]
    async fn whoever_asked_last_is_woken_however_often_it_asked() {
        let ((mut near, mut far), mut reading) = (pair().await, PendingRead::default());
        let (one, other) = (Arc::<Task>::default(), Arc::<Task>::default());
        for round in 1..=3 {
            for _ in 0..3 {
                assert!(poll(&mut reading, &mut near, &one).is_pending());
            }
            far.write_all(b"for one").await.unwrap();
            one.woken(round).await;
            assert_eq!(poll(&mut reading, &mut near, &one), Poll::Ready(b"for one".to_vec()));

            assert!(poll(&mut reading, &mut near, &one).is_pending());
            assert!(poll(&mut reading, &mut near, &other).is_pending());
            far.write_all(b"for the other").await.unwrap();
            other.woken(round).await;
            assert_eq!(
                poll(&mut reading, &mut near, &other),
                Poll::Ready(b"for the other".to_vec())
            );
            assert_eq!(one.wakes(), round);
        }
        assert!(poll(&mut reading, &mut near, &one).is_pending());
        drop(far);
        one.woken(4).await;
        assert_eq!(poll(&mut reading, &mut near, &one), Poll::Ready(Vec::new()));
        assert_eq!(poll(&mut reading, &mut near, &one), Poll::Ready(Vec::new()));
    }

    /// A turn may end before the stream is looked at, or between that and the look's being told to the runtime, which takes
    /// a new stream to be readable.
    #[tokio::test]
    async fn a_task_whose_turn_ends_in_a_read_is_woken_all_the_same() {
        for left in 0..4 {
            let ((mut near, mut far), mut reading) = (pair().await, PendingRead::default());
            let task = Arc::<Task>::default();
            // A task of its own, whose turn begins here.
            let polled = tokio::spawn(async move {
                for _ in 0..TURN - left {
                    let spent = pin!(consume_budget()).poll(&mut Context::from_waker(Waker::noop()));
                    assert!(spent.is_ready(), "a turn is shorter than {TURN}");
                }
                assert!(poll(&mut reading, &mut near, &task).is_pending());
                yield_now().await;
                assert!(poll(&mut reading, &mut near, &task).is_pending());
                let wakes = task.wakes();
                far.write_all(b"now").await.unwrap();
                task.woken(wakes + 1).await;
                assert_eq!(poll(&mut reading, &mut near, &task), Poll::Ready(b"now".to_vec()));
            });
            let in_time = tokio::time::timeout(Duration::from_secs(20), polled).await;
            in_time.unwrap_or_else(|_| panic!("never woken: {left} left")).unwrap();
        }
    }
}
