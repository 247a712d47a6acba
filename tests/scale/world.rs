//! The whole program in front of a token endpoint that answers with as little as there is.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bearerd::{
    assemble::Program,
    clock::Clock,
    config::{Loaded, Surroundings, load},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long the endpoint's tokens live, in seconds.
pub(crate) const LIFETIME: u64 = 1800;

/// A token endpoint that counts how often each user's token was asked for. Clones share the counts.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: std::net::SocketAddr,
    asked: Arc<[AtomicUsize]>,
}

impl Endpoint {
    /// For users `0` to `users`.
    pub(crate) async fn start(users: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            asked: (0..users).map(|_| AtomicUsize::new(0)).collect(),
        };
        let asked = endpoint.asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, asked.clone()));
            }
        });
        endpoint
    }

    /// How often this user's token was asked for.
    pub(crate) fn asked(&self, user: usize) -> usize {
        self.asked[user].load(Ordering::SeqCst)
    }

    pub(crate) fn all_asked(&self) -> usize {
        self.asked.iter().map(|asked| asked.load(Ordering::SeqCst)).sum()
    }
}

async fn answer(mut stream: TcpStream, asked: Arc<[AtomicUsize]>) {
    let mut request = Vec::with_capacity(1024);
    let user = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        // The user is the body's last field, and as long as all of them.
        let text = std::str::from_utf8(&request).unwrap();
        if let Some((_, user)) = text.split_once("user=")
            && user.len() == WIDTH
        {
            break user.parse::<usize>().unwrap();
        }
    };
    asked[user].fetch_add(1, Ordering::SeqCst);
    let body = format!(r#"{{"access_token":"token-of-{user:0WIDTH$}","expires_in":{LIFETIME}}}"#);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// How long a user's name is.
pub(crate) const WIDTH: usize = 32;

/// Loads a config from this text.
pub(crate) fn loaded(text: String) -> Loaded {
    let surroundings = Surroundings {
        env: Default::default(),
        read: Box::new(move |_: &Path| Ok(text.clone().into_bytes())),
    };
    load(&[PathBuf::from("bearerd.yaml")], &surroundings).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The program of this text.
pub(crate) async fn program(text: String, clock: &Clock) -> Program {
    Program::build(loaded(text).config, clock.clone()).await.unwrap()
}
