//! A reader of server-sent events.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::Value;

use crate::client::{PATIENCE, connect};

/// A stream of events that is read as it comes.
pub(crate) struct Events {
    /// The head of its answer.
    pub(crate) head: String,
    events: Receiver<(String, Value)>,
}

impl Events {
    /// Asked for in HTTP/1.0, so that the stream stands on the wire as it is.
    pub(crate) fn open(admin: SocketAddr) -> Self {
        let mut stream = connect(admin);
        stream
            .write_all(b"GET /events HTTP/1.0\r\nhost: localhost\r\n\r\n")
            .unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let (sender, events) = channel();
        thread::spawn(move || {
            let (mut name, mut line) = (String::new(), String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(event) = line.strip_prefix("event: ") {
                    name = event.trim_end().to_owned();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let event = (name.clone(), serde_json::from_str(data).unwrap());
                    if sender.send(event).is_err() {
                        return;
                    }
                }
                line.clear();
            }
        });
        Self { head, events }
    }

    /// The next event, or `None` where the stream has ended.
    pub(crate) fn next(&self) -> Option<(String, Value)> {
        match self.events.recv_timeout(PATIENCE) {
            Ok(event) => Some(event),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => None,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    /// The next event of this name that is as it should be.
    pub(crate) fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut seen = Vec::new();
        // A beat comes every two seconds: this is a minute at least.
        while seen.len() < 30 {
            let Some((event, data)) = self.next() else { break };
            if event == name && is_so(&data) {
                return data;
            }
            seen.push((event, data));
        }
        let last = seen.iter().rfind(|(event, _)| event == name);
        panic!("it never came as an event {name}; the last one was {last:?}");
    }
}

/// A credential's part of a status.
pub(crate) fn credential<'a>(status: &'a Value, name: &str) -> &'a Value {
    let all = status["credentials"].as_array().unwrap();
    all.iter().find(|credential| credential["name"] == name).unwrap()
}
