//! Access lines as JSON: one a request, so they are written by hand into a buffer that is used again.
//!
//! The general formatter makes the same line at several times the cost, most of it for spans and for a map of fields
//! that nobody looks at. What a line looks like is the same: time, level, the event's fields, target.

use std::{cell::RefCell, fmt, fmt::Write as _};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{Stamp, writer::Lines};
use crate::clock::Clock;

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes each event that it is given as one JSON object.
pub(super) struct AccessLines {
    stamp: Stamp,
    lines: Lines,
}

impl AccessLines {
    pub(super) fn new(clock: Clock, lines: Lines) -> Self {
        Self {
            stamp: Stamp::new(clock),
            lines,
        }
    }
}

impl<S: Subscriber> Layer<S> for AccessLines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            line.push_str("{\"timestamp\":\"");
            self.stamp.write(line);
            line.push_str("\",\"level\":\"");
            line.push_str(level(event.metadata().level()));
            line.push('"');
            event.record(&mut Fields(line));
            line.push_str(",\"target\":\"");
            line.push_str(event.metadata().target());
            line.push_str("\"}");
            // Line breaks in it are escaped already.
            self.lines.push_lazily(line.as_bytes());
        });
    }
}

fn level(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN",
        Level::INFO => "INFO",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    }
}

/// Writes fields as members of a JSON object (RFC 8259).
struct Fields<'a>(&'a mut String);

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }

    fn number(&mut self, field: &Field, value: impl fmt::Display) {
        self.name(field);
        // Writing to a String can't fail.
        let _ = write!(self.0, "{value}");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        let _ = Escaped(self.0).write_str(value);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        self.0.push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.number(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.0.push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let thousandths = value * 1000.0;
        match value.is_finite() {
            // Most are a duration of so many thousandths: as such they are written at a third of the cost.
            true if (0.0..1e12).contains(&thousandths) && thousandths.fract() == 0.0 => {
                let thousandths = thousandths as u64;
                self.name(field);
                self.0.push_str(itoa::Buffer::new().format(thousandths / 1000));
                self.0.push('.');
                push_three_digits(self.0, thousandths % 1000);
            }
            true => self.number(field, value),
            // JSON has no other numbers.
            false => self.number(field, "null"),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(Escaped(self.0), "{value:?}");
        self.0.push('"');
    }
}

/// A number below 1000 with its leading zeros.
pub(super) fn push_three_digits(line: &mut String, number: u64) {
    for divisor in [100, 10, 1] {
        line.push(char::from(b'0' + (number / divisor % 10) as u8));
    }
}

/// Escapes text for a JSON string.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1F)) {
            let (plain, special) = rest.split_at(at);
            self.0.push_str(plain);
            match special.as_bytes()[0] {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                control => write!(self.0, "\\u{control:04x}")?,
            }
            // What needs an escape is one byte long.
            rest = &special[1..];
        }
        self.0.push_str(rest);
        Ok(())
    }
}
