//! An upstream on loopback that does to each request what a test says, byte by byte.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a whole answer is.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A connection to an upstream, and its place among the others.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// Counted from 1.
    pub(crate) nth: usize,
    requests: Arc<AtomicUsize>,
    rest: Vec<u8>,
}

impl Accepted {
    /// The next request's head and its declared body; `None` when the other side has closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        loop {
            let text = String::from_utf8_lossy(&self.rest).into_owned();
            if let Some(end) = text.find("\r\n\r\n") {
                let head = &text[..end];
                let length = head
                    .lines()
                    .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                    .unwrap_or(0);
                if self.rest.len() >= end + 4 + length {
                    self.rest.drain(..end + 4 + length);
                    self.requests.fetch_add(1, Ordering::SeqCst);
                    return Some(text[..end + 4 + length].to_owned());
                }
            }
            let mut chunk = [0; 16 * 1024];
            let count = self.stream.read(&mut chunk).await.unwrap_or(0);
            if count == 0 {
                return None;
            }
            self.rest.extend_from_slice(&chunk[..count]);
        }
    }

    /// Reads a chunked body to its end: whether it has one.
    pub(crate) async fn chunked(&mut self) -> bool {
        while !self.rest.ends_with(b"0\r\n\r\n") {
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk).await.unwrap_or(0) {
                0 => return false,
                count => self.rest.extend_from_slice(&chunk[..count]),
            }
        }
        self.rest.clear();
        true
    }

    pub(crate) async fn say(&mut self, text: &str) {
        // The proxy may have hung up: what comes of that is the test's to see.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    /// Ends the connection with a reset instead of a close.
    pub(crate) fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }
}

/// An upstream that runs until it is dropped.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub(crate) async fn start<F>(serve: impl Fn(Accepted) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    pub(crate) fn on<F>(listener: TcpListener, serve: impl Fn(Accepted) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let (counted, arrived) = (connections.clone(), requests.clone());
        let task = tokio::spawn(async move {
            // Its connections end with it.
            let mut served = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                served.spawn(serve(Accepted {
                    stream,
                    nth: counted.fetch_add(1, Ordering::SeqCst) + 1,
                    requests: arrived.clone(),
                    rest: Vec::new(),
                }));
            }
        });
        Self {
            address,
            connections,
            requests,
            task,
        }
    }

    /// Answers everything.
    pub(crate) async fn good() -> Self {
        Self::start(|mut connection| async move {
            while connection.request().await.is_some() {
                connection.say(OK).await;
            }
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests have arrived whole.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}
