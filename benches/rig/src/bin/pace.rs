//! Sends requests at a fixed rate, however fast they are answered, and prints how long the answers took.
//!
//! `pace PORT PATH RATE CONNECTIONS SECONDS`; prints `REQUESTS P50 P90 P99 MAX`, times in microseconds.
//!
//! Each connection has a schedule of its own. A request counts from when it is sent; where it could not be sent in time
//! because the one before it was still open, from when it should have been. So a stall is counted for all whom it held up,
//! and a late timer of this program isn't taken for a slow proxy.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures from outside, by the machine's own clock"
)]

use std::{
    env,
    io::{Error, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [port, path, rate, connections, seconds] = &arguments[..] else {
        return Err(Error::other("pace PORT PATH RATE CONNECTIONS SECONDS"));
    };
    let port: u16 = number(port)?;
    let (connections, seconds, rate): (u32, f64, f64) = (number(connections)?, number(seconds)?, number(rate)?);
    let pause = Duration::from_secs_f64(f64::from(connections) / rate);
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    // Time for every thread to connect.
    let begin = Instant::now() + Duration::from_millis(200);
    let end = begin + Duration::from_secs_f64(seconds);
    let threads: Vec<_> = (0..connections)
        .map(|nth| {
            let request = request.clone();
            let first = begin + pause * nth / connections;
            thread::spawn(move || run(port, request.as_bytes(), first, pause, end))
        })
        .collect();
    let mut times = Vec::new();
    for thread in threads {
        times.extend(thread.join().map_err(|_| Error::other("a connection panicked"))??);
    }
    times.sort_unstable();
    let at = |share: f64| {
        times
            .get(((times.len() - 1) as f64 * share) as usize)
            .map_or(0, Duration::as_micros)
    };
    println!("{} {} {} {} {}", times.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Error> {
    text.parse().map_err(|_| Error::other(format!("not a number: {text}")))
}

fn run(port: u16, request: &[u8], first: Instant, pause: Duration, end: Instant) -> Result<Vec<Duration>, Error> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut times = Vec::new();
    let mut due = first;
    while due < end {
        let now = Instant::now();
        let from = if now < due {
            thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        stream.write_all(request)?;
        read_answer(&mut stream)?;
        times.push(from.elapsed());
        due += pause;
    }
    Ok(times)
}

/// Reads one answer with a content-length.
fn read_answer(stream: &mut TcpStream) -> Result<(), Error> {
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    let mut needed = None;
    while needed.is_none_or(|needed| filled < needed) {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(Error::other("the connection was closed"));
        }
        filled += read;
        if needed.is_none() {
            needed = length(&buffer[..filled])?;
        }
    }
    Ok(())
}

/// How long an answer is, once its head is complete.
fn length(text: &[u8]) -> Result<Option<usize>, Error> {
    let Some(head) = text.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head_text = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
    if !head_text.starts_with("http/1.1 200") {
        return Err(Error::other(format!("an answer was not 200: {head_text}")));
    }
    let body = head_text.lines().find_map(|line| line.strip_prefix("content-length:"));
    let body: usize = number(body.map_or("", str::trim))?;
    Ok(Some(head + 4 + body))
}
