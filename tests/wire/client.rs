//! A client that writes bytes and reads bytes.

use std::{
    io::{BufReader, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::message::Message;

/// More than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A request in the making; it closes its connection.
#[derive(Clone)]
pub(crate) struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn get(target: &str) -> Self {
        Self::to("GET", target)
    }

    pub(crate) fn to(method: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// A body of a known length.
    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("content-length", length)
    }

    pub(crate) fn form(self, body: impl AsRef<[u8]>) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(body)
    }

    /// A body of these chunks, and a trailer.
    pub(crate) fn chunks(mut self, chunks: &[&[u8]], trailer: Option<(&str, &str)>) -> Self {
        for chunk in chunks {
            self.body.extend(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.body.extend(*chunk);
            self.body.extend(b"\r\n");
        }
        self.body.extend(b"0\r\n");
        if let Some((name, value)) = trailer {
            self.body.extend(format!("{name}: {value}\r\n").as_bytes());
        }
        self.body.extend(b"\r\n");
        self.header("transfer-encoding", "chunked")
    }

    /// Its bytes. `Host` is `localhost` unless it has one.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let has = |name: &str| self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        if !has("host") {
            bytes.extend(b"host: localhost\r\n");
        }
        if !has("connection") {
            bytes.extend(b"connection: close\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend(name.as_bytes());
            bytes.extend(b": ");
            bytes.extend(value);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }

    pub(crate) fn send(&self, to: SocketAddr) -> Message {
        let mut stream = connect(to);
        stream.write_all(&self.bytes()).unwrap();
        Message::answer(&mut BufReader::new(stream), self.method == "HEAD").expect("an answer")
    }

    pub(crate) fn send_unix(&self, to: &Path) -> Message {
        let mut stream = UnixStream::connect(to).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&self.bytes()).unwrap();
        Message::answer(&mut BufReader::new(stream), self.method == "HEAD").expect("an answer")
    }
}

pub(crate) fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
