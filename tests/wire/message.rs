//! An HTTP/1.1 message as it stands on the wire, read by a parser that forgives nothing.

use std::io::BufRead;

/// A message, read whole.
#[derive(Clone, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    pub(crate) start: String,
    /// Names as they were written, and values byte for byte.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Without its framing.
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, Vec<u8>)>,
}

/// Names only: values are what the tests are careful with.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
            .collect();
        write!(f, "{}\n{headers:#?}\n{text}", self.start)
    }
}

impl Message {
    /// Reads a request; `None` where the connection ended before one.
    pub(crate) fn request(stream: &mut impl BufRead) -> Option<Self> {
        Self::read(stream, false, true)
    }

    /// Reads an answer, interim ones aside.
    pub(crate) fn answer(stream: &mut impl BufRead, to_head: bool) -> Option<Self> {
        loop {
            let answer = Self::read(stream, true, !to_head)?;
            if answer.status() != 100 {
                return Some(answer);
            }
        }
    }

    fn read(stream: &mut impl BufRead, is_answer: bool, may_have_body: bool) -> Option<Self> {
        let start = line(stream)?;
        let mut message = Self {
            start: String::from_utf8(start).unwrap(),
            headers: fields(stream),
            ..Self::default()
        };
        let is_bare = is_answer && matches!(message.status(), 100..200 | 204 | 304);
        if !may_have_body || is_bare {
            return Some(message);
        }
        let length = message.header("content-length").map(|length| length.parse().unwrap());
        match (message.header("transfer-encoding").as_deref(), length) {
            (Some("chunked"), None) => {
                loop {
                    let size = String::from_utf8(line(stream).expect("a chunk's size")).unwrap();
                    let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
                    if size == 0 {
                        break;
                    }
                    let begin = message.body.len();
                    message.body.resize(begin + size, 0);
                    stream.read_exact(&mut message.body[begin..]).unwrap();
                    assert_eq!(
                        line(stream).as_deref(),
                        Some(&b""[..]),
                        "a chunk ends with a line's end"
                    );
                }
                message.trailers = fields(stream);
            }
            (None, Some(length)) => {
                message.body = vec![0; length];
                stream.read_exact(&mut message.body).unwrap();
            }
            (None, None) if is_answer => {
                stream.read_to_end(&mut message.body).unwrap();
            }
            (None, None) => {}
            other => panic!("framed twice or in an unknown way: {other:?}"),
        }
        Some(message)
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The target of a request.
    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap()
    }

    pub(crate) fn query(&self) -> &str {
        self.target().split_once('?').map_or("", |(_, query)| query)
    }

    /// All values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&[u8]> {
        let of_name = self.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| &value[..]).collect()
    }

    /// The one value of a field; more than one is wrong wherever this is asked.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values = self.values(name);
        assert!(values.len() <= 1, "{name} is there {} times", values.len());
        values.first().map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The names of its fields, in lower case.
    pub(crate) fn names(&self) -> Vec<String> {
        self.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A line without its end, which must be CRLF; `None` at the end of the stream.
fn line(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
    assert!(line.ends_with(b"\r\n"), "a line ends with CRLF: {line:?}");
    line.truncate(line.len() - 2);
    Some(line)
}

fn fields(stream: &mut impl BufRead) -> Vec<(String, Vec<u8>)> {
    let mut fields = Vec::new();
    loop {
        let line = line(stream).expect("a head that ends");
        if line.is_empty() {
            return fields;
        }
        let colon = line.iter().position(|byte| *byte == b':').expect("a colon");
        let name = String::from_utf8(line[..colon].to_vec()).unwrap();
        fields.push((name, line[colon + 1..].trim_ascii().to_vec()));
    }
}

/// The bytes that an urlencoded text's parameters of this name stand for.
pub(crate) fn parameters(encoded: &[u8], name: &str) -> Vec<Vec<u8>> {
    let decoded = |text: &[u8]| -> Vec<u8> {
        let spaced: Vec<u8> = text
            .iter()
            .map(|byte| if *byte == b'+' { b' ' } else { *byte })
            .collect();
        percent_encoding::percent_decode(&spaced).collect()
    };
    let pairs = encoded.split(|byte| *byte == b'&').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        (decoded(&pair[..equals]) == name.as_bytes()).then(|| decoded(&pair[equals + 1..]))
    });
    pairs.collect()
}
