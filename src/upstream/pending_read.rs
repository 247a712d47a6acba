//! Reads that wait already.
//!
//! hyper looks for more to read each time that a connection is polled for whatever reason, and each look that finds
//! nothing tells the runtime again whom to wake: under a lock, and for a task that it knows already.

use std::{
    io,
    pin::Pin,
    ptr,
    task::{Context, Poll, RawWakerVTable},
};

use tokio::{
    io::{AsyncRead, Interest, ReadBuf},
    net::TcpStream,
    task::coop::has_budget_remaining,
};

/// Whether a read of one stream waits, and who is woken for it.
#[derive(Debug, Default)]
pub struct PendingRead {
    /// The task's waker, as [`Waker::will_wake`](std::task::Waker::will_wake) tells them apart. The runtime keeps it until
    /// there is something to read, so none that came later can be at its address until then.
    waits: Option<(usize, &'static RawWakerVTable)>,
}

impl PendingRead {
    /// Reads from this stream, which is always the same and is read in no other way.
    pub fn poll<S>(
        &mut self,
        stream: Pin<&mut S>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsRef<TcpStream>,
    {
        let task = context.waker();
        let is_of_task = |waits: (usize, &_)| waits.0 == task.data().addr() && ptr::eq(waits.1, task.vtable());
        if self.waits.is_some_and(is_of_task) && !is_ready((*stream).as_ref()) {
            return Poll::Pending;
        }
        self.waits = None;
        // Without, the runtime puts the task off and doesn't look at the stream.
        let looks = has_budget_remaining();
        let read = stream.poll_read(context, into);
        if read.is_pending() && looks {
            let task = context.waker();
            self.waits = Some((task.data().addr(), task.vtable()));
        }
        read
    }
}

/// Whether the runtime has heard of something to read, the stream's end included, and nobody has read it since.
fn is_ready(stream: &TcpStream) -> bool {
    stream.try_io(Interest::READABLE, || Ok(())).is_ok()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use tokio::{io::AsyncWriteExt, net::TcpListener, task::yield_now};

    use super::*;

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

    #[tokio::test]
    async fn a_task_that_has_used_up_its_turn_is_woken_all_the_same() {
        let ((mut near, mut far), mut reading) = (pair().await, PendingRead::default());
        let (task, before) = (Arc::<Task>::default(), Arc::<Task>::default());
        assert!(poll(&mut reading, &mut near, &before).is_pending());
        let used_up = std::future::poll_fn(|_| {
            // Within one turn: the budget is that of the task that runs this.
            while has_budget_remaining() {
                let spent = std::pin::pin!(tokio::task::coop::consume_budget());
                let _ = spent.poll(&mut Context::from_waker(std::task::Waker::noop()));
            }
            Poll::Ready(poll(&mut reading, &mut near, &task))
        });
        assert!(used_up.await.is_pending());
        yield_now().await;
        let wakes = task.wakes();
        assert!(poll(&mut reading, &mut near, &task).is_pending());
        far.write_all(b"now").await.unwrap();
        task.woken(wakes + 1).await;
        assert_eq!(poll(&mut reading, &mut near, &task), Poll::Ready(b"now".to_vec()));
    }
}
