//! Access lines: one a request, so as JSON they are written by hand into a buffer that is used again.
//!
//! An event would make the same line at three times the cost, most of it for a map of fields that nobody looks at. What
//! a line looks like is the same: time, level, fields, target. Where the log is readable text, and in a process that
//! started none, an event it is.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    sync::OnceLock,
    time::Duration,
};

use super::{ACCESS, Control, Stamp, writer::Lines};
use crate::clock::Clock;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Where the process's access lines go, if that isn't the way of all events.
static LINES: OnceLock<AccessLines> = OnceLock::new();

/// One request and its answer. What may not be told is not in it: no query, no header, no part of a subject.
pub struct AccessLine<'a> {
    /// Where it came in. This and the other names, and methods, are plain: nothing in them has to be escaped.
    pub listener: &'a str,
    /// The name of who called, where the listener names its callers.
    pub caller: Option<&'a str>,
    /// Its method.
    pub method: &'a str,
    /// Its path, as far as it may be told.
    pub path: Option<&'a str>,
    /// Its route.
    pub route: Option<&'a str>,
    /// Where it went.
    pub upstream: Option<&'a str>,
    /// The answer's status.
    pub status: u16,
    /// The code of an answer of our own, and what it says.
    pub error: Option<(&'a str, &'a dyn fmt::Display)>,
    /// From its head to the head of its answer.
    pub elapsed: Duration,
    /// Whether it was sent a second time.
    pub replayed: bool,
    /// Its id.
    pub request_id: &'a str,
}

impl AccessLine<'_> {
    /// Hands it to the process's log.
    pub fn write(&self) {
        if let Some(lines) = LINES.get() {
            return lines.write(self);
        }
        tracing::info!(
            target: ACCESS,
            listener = self.listener,
            caller = self.caller,
            method = self.method,
            path = self.path,
            route = self.route,
            upstream = self.upstream,
            status = self.status,
            code = self.error.map(|(code, _)| code),
            detail = self.error.map(|(_, detail)| tracing::field::display(detail)),
            duration_ms = self.elapsed.as_micros() as f64 / 1_000.0,
            replayed = self.replayed,
            request_id = self.request_id,
        );
    }
}

/// Writes access lines as JSON objects.
pub(super) struct AccessLines {
    stamp: Stamp,
    lines: Lines,
    control: Control,
}

impl AccessLines {
    pub(super) fn new(clock: Clock, lines: Lines, control: Control) -> Self {
        Self {
            stamp: Stamp(clock),
            lines,
            control,
        }
    }

    /// Makes these the process's; the log that was started first keeps them.
    pub(super) fn install(self) {
        let _ = LINES.set(self);
    }

    pub(super) fn write(&self, line: &AccessLine<'_>) {
        if !self.control.writes_access() {
            return;
        }
        LINE.with_borrow_mut(|json| {
            json.clear();
            json.push_str("{\"timestamp\":\"");
            self.stamp.write(json);
            // Each text is ended by what comes next.
            push_plain(json, "\",\"level\":\"INFO\",\"listener\":\"", Some(line.listener));
            push_plain(json, "\",\"caller\":\"", line.caller);
            push_plain(json, "\",\"method\":\"", Some(line.method));
            if let Some(path) = line.path {
                json.push_str("\",\"path\":\"");
                push_escaped(json, path);
            }
            push_plain(json, "\",\"route\":\"", line.route);
            push_plain(json, "\",\"upstream\":\"", line.upstream);
            json.push_str("\",\"status\":");
            json.push_str(itoa::Buffer::new().format(line.status));
            if let Some((code, detail)) = line.error {
                json.push_str(",\"code\":\"");
                json.push_str(code);
                json.push_str("\",\"detail\":\"");
                // Writing to a String can't fail.
                let _ = write!(Escaped(json), "{detail}");
                json.push('"');
            }
            let micros = u64::try_from(line.elapsed.as_micros()).unwrap_or(u64::MAX);
            json.push_str(",\"duration_ms\":");
            json.push_str(itoa::Buffer::new().format(micros / 1000));
            json.push('.');
            push_three_digits(json, micros % 1000);
            json.push_str(match line.replayed {
                true => ",\"replayed\":true,\"request_id\":\"",
                false => ",\"replayed\":false,\"request_id\":\"",
            });
            push_escaped(json, line.request_id);
            push_plain(json, "\",\"target\":\"", Some(ACCESS));
            json.push_str("\"}");
            // Line breaks in it are escaped already.
            self.lines.push_lazily(json.as_bytes());
        });
    }
}

/// A number below 1000 with its leading zeros.
pub(super) fn push_three_digits(line: &mut String, number: u64) {
    let digit = |divisor: u64| char::from(b'0' + (number / divisor % 10) as u8);
    line.extend([digit(100), digit(10), digit(1)]);
}

/// Begins a field whose text is plain: a name of the config, or a method (RFC 9110 §5.6.2).
fn push_plain(json: &mut String, field: &str, text: Option<&str>) {
    if let Some(text) = text {
        json.push_str(field);
        json.push_str(text);
    }
}

/// Appends text as it stands in a JSON string (RFC 8259 §7).
fn push_escaped(json: &mut String, text: &str) {
    // Nearly all of it is plain. Looking at each byte without a branch lets many be looked at together.
    let specials = text
        .bytes()
        .map(|byte| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\'));
    if specials.fold(0, |found, special| found | special) == 0 {
        return json.push_str(text);
    }
    for char in text.chars() {
        match char {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\0'..='\x1F' => {
                // Writing to a String can't fail.
                let _ = write!(json, "\\u{:04x}", u32::from(char));
            }
            _ => json.push(char),
        }
    }
}

struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        push_escaped(self.0, text);
        Ok(())
    }
}
