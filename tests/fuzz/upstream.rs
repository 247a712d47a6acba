//! An upstream that holds everything that arrives against what may arrive.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Where the upstream is, and what was wrong with what arrived.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    wrong: Arc<Mutex<Vec<String>>>,
    whole: Arc<Mutex<usize>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            wrong: Arc::default(),
            whole: Arc::default(),
        };
        let host = format!("localhost:{}", upstream.address.port());
        let (wrong, whole) = (upstream.wrong.clone(), upstream.whole.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (host, wrong, whole) = (host.clone(), wrong.clone(), whole.clone());
                thread::spawn(move || serve(stream, &host, &wrong, &whole));
            }
        });
        upstream
    }

    /// What was wrong since this was last asked.
    pub(crate) fn wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.wrong.lock().unwrap())
    }

    /// How many whole requests came.
    pub(crate) fn whole(&self) -> usize {
        *self.whole.lock().unwrap()
    }
}

fn serve(stream: TcpStream, host: &str, wrong: &Mutex<Vec<String>>, whole: &Mutex<usize>) {
    let mut stream = BufReader::new(stream);
    loop {
        match request(&mut stream, host) {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => return wrong.lock().unwrap().push(why),
        }
        *whole.lock().unwrap() += 1;
        if stream
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .is_err()
        {
            return;
        }
    }
}

/// Reads a request: whether it is there, whole; or what is wrong with it. One that breaks off is no request.
fn request(stream: &mut BufReader<TcpStream>, host: &str) -> Result<bool, String> {
    let Some(start) = line(stream)? else { return Ok(false) };
    let mut fields = Vec::new();
    loop {
        let Some(line) = line(stream)? else { return Ok(false) };
        if line.is_empty() {
            break;
        }
        fields.push(field(&line)?);
    }
    let all = |name: &str| -> Vec<&str> {
        let own = fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        own.map(|(_, value)| &**value).collect()
    };
    let words: Vec<&str> = start.split(' ').collect();
    let [_, target, "HTTP/1.1"] = *words else {
        return Err(format!("a request line: {start:?}"));
    };
    let path = target.split('?').next().unwrap_or_default();
    let is_listed = path == "/v2/public" || path.starts_with("/v2/public/");
    if !is_listed || path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("a path that is not listed: {start:?}"));
    }
    if all("authorization") != ["Bearer t0ken"] || all("host") != [host] {
        return Err(format!("not our credential, or not its host: {start:?} {fields:?}"));
    }
    if fields
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("x_own") || name.eq_ignore_ascii_case("x-forwarded-for"))
    {
        return Err(format!("what ends here: {fields:?}"));
    }
    match (&*all("content-length"), &*all("transfer-encoding")) {
        ([], []) => Ok(true),
        ([length], []) => {
            let length: usize = length.parse().map_err(|_| format!("a length: {length:?}"))?;
            skip(stream, length)
        }
        ([], ["chunked"]) => chunks(stream),
        framing => Err(format!("framed in an odd way: {framing:?}")),
    }
}

fn chunks(stream: &mut BufReader<TcpStream>) -> Result<bool, String> {
    loop {
        let Some(size) = line(stream)? else { return Ok(false) };
        let size = usize::from_str_radix(&size, 16).map_err(|_| format!("a chunk's size: {size:?}"))?;
        if size == 0 {
            break;
        }
        if !skip(stream, size)? {
            return Ok(false);
        }
        match line(stream)? {
            None => return Ok(false),
            Some(end) if end.is_empty() => {}
            Some(more) => return Err(format!("more than a chunk: {more:?}")),
        }
    }
    loop {
        let Some(line) = line(stream)? else { return Ok(false) };
        if line.is_empty() {
            return Ok(true);
        }
        let (name, value) = field(&line)?;
        let closed = [
            "authorization",
            "host",
            "content-length",
            "transfer-encoding",
            "connection",
        ];
        if closed.iter().any(|closed| name.eq_ignore_ascii_case(closed)) {
            return Err(format!("a trailer: {name}: {value}"));
        }
    }
}

fn skip(stream: &mut BufReader<TcpStream>, mut length: usize) -> Result<bool, String> {
    while length > 0 {
        let Ok(there) = stream.fill_buf() else { return Ok(false) };
        if there.is_empty() {
            return Ok(false);
        }
        let taken = there.len().min(length);
        stream.consume(taken);
        length -= taken;
    }
    Ok(true)
}

fn field(line: &str) -> Result<(String, String), String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match line.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.bytes().all(is_token) => {
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        }
        _ => Err(format!("a field: {line:?}")),
    }
}

/// A line, whose end is CRLF and which holds no other control character; `None` where it breaks off.
fn line(stream: &mut BufReader<TcpStream>) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).is_err() || !line.ends_with(b"\n") {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line).into_owned();
    match text.strip_suffix("\r\n") {
        Some(line) if !line.contains(|c: char| c.is_ascii_control() && c != '\t') => Ok(Some(line.to_owned())),
        _ => Err(format!("a line: {text:?}")),
    }
}
