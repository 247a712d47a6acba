//! Where a browser of this machine is redirected to (RFC 8252 §7.3): a listener on loopback that hands over targets.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use http::StatusCode;
use secrecy::SecretString;

use crate::{cli::Failure, credential::browser::REDIRECT_PATH};

/// How long a connection may take over its request; browsers open some that they never use.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest request head that is read, in bytes: a redirect with a long code is a few kilobytes.
const LONGEST_HEAD: u64 = 64 * 1024;

/// A listener on loopback that nobody asks yet.
pub(super) struct Loopback(TcpListener, u16);

/// A browser that was redirected here, and waits for an answer.
pub(super) struct Redirected {
    /// The request's target, which holds the code.
    pub(super) target: SecretString,
    stream: TcpStream,
}

impl Loopback {
    pub(super) fn bind(port: Option<u16>) -> Result<Self, Failure> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
        let bound = bound.and_then(|listener| {
            let port = listener.local_addr()?.port();
            Ok(Self(listener, port))
        });
        bound.map_err(|error| {
            Failure::Failed(format!(
                "the browser's answer can't be listened for on 127.0.0.1:{} ({error}); use --no-browser, or see what \
                 else listens there",
                port.unwrap_or(0)
            ))
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.1
    }

    /// Hands over what comes, until nobody listens any more. Each connection has a thread, so that a silent one
    /// holds up none.
    pub(super) fn listen(self) -> mpsc::Receiver<Redirected> {
        let (found, redirects) = mpsc::channel();
        thread::spawn(move || {
            for stream in self.0.incoming() {
                let found = found.clone();
                thread::spawn(move || {
                    if let Ok(stream) = stream
                        && let Ok(Some(redirected)) = receive(stream)
                    {
                        // The command may have ended.
                        let _ = found.send(redirected);
                    }
                });
            }
        });
        redirects
    }
}

/// Reads a request; one for something else is answered here.
fn receive(mut stream: TcpStream) -> io::Result<Option<Redirected>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = BufReader::new(stream.try_clone()?).take(LONGEST_HEAD);
    let mut first = String::new();
    head.read_line(&mut first)?;
    // An answer before the whole head is read would reach nobody: closing resets the connection.
    let mut line = String::new();
    while head.read_line(&mut line)? > 0 && !line.trim_end().is_empty() {
        line.clear();
    }
    let mut words = first.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if target.split('?').next() != Some(REDIRECT_PATH) {
        answer(&mut stream, StatusCode::NOT_FOUND, "There is nothing here.")?;
        return Ok(None);
    }
    if method != "GET" {
        answer(&mut stream, StatusCode::METHOD_NOT_ALLOWED, "There is nothing here.")?;
        return Ok(None);
    }
    Ok(Some(Redirected {
        target: target.into(),
        stream,
    }))
}

impl Redirected {
    /// Tells the person at the browser.
    pub(super) fn answer(mut self, status: StatusCode, words: &str) {
        // Whoever closed the page has seen enough.
        let _ = answer(&mut self.stream, status, words);
    }
}

fn answer(stream: &mut TcpStream, status: StatusCode, words: &str) -> io::Result<()> {
    let page = format!("<!doctype html><meta charset=utf-8><title>bearerd</title><p>{words}</p>\n");
    write!(
        stream,
        "HTTP/1.1 {} {}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         referrer-policy: no-referrer\r\ncontent-security-policy: default-src 'none'\r\nconnection: close\r\n\r\n{page}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        page.len()
    )?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn ask(port: u16, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    fn told(mut stream: TcpStream) -> String {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_redirect_is_handed_over_and_nothing_else_is() {
        let loopback = Loopback::bind(None).unwrap();
        let port = loopback.port();
        let redirects = loopback.listen();
        // A browser's spare connection says nothing for ever.
        let _spare = ask(port, "");
        let icon = ask(port, "GET /favicon.ico HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(told(icon).starts_with("HTTP/1.1 404 "));
        let posted = ask(port, "POST /callback?code=c HTTP/1.1\r\nhost: x\r\n\r\n");
        assert!(told(posted).starts_with("HTTP/1.1 405 "));

        let browser = ask(port, "GET /callback?code=c&state=s HTTP/1.1\r\nhost: x\r\n\r\n");
        let redirected = redirects.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(redirected.target.expose_secret(), "/callback?code=c&state=s");
        redirected.answer(StatusCode::OK, "Done.");
        let answer = told(browser);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("Done."),
            "{answer}"
        );
        assert!(redirects.try_recv().is_err());
    }
}
