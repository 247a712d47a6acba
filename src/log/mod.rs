//! The program's log: one line an event, written off the request path.
//!
//! Events go through a filter that caps what dependencies may say ([`filter`]) and into a bounded queue that one
//! thread empties ([`writer`]). A full queue drops lines and counts them, so a slow disk or a blocked pipe never
//! slows a request.

mod access;
mod control;
pub mod filter;
pub mod writer;

use std::{
    cell::RefCell,
    fs::OpenOptions,
    io::{self, IsTerminal},
    path::PathBuf,
};

use tracing_subscriber::{
    Layer,
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry::LookupSpan,
};

pub use access::AccessLine;
pub use control::Control;

use crate::clock::Clock;
use access::AccessLines;

/// The target of access lines: one a request.
pub const ACCESS: &str = "bearerd::access";
/// The target of token events.
pub const TOKEN: &str = "bearerd::token";

/// How to log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The shape of a line; `None` is readable on a terminal and JSON elsewhere.
    pub format: Option<Format>,
    /// The filter, in tracing's `target=level` syntax, such as `info,bearerd::proxy=debug`.
    pub level: String,
    /// A file to append to, instead of standard error.
    pub file: Option<PathBuf>,
    /// Whether each request has a line.
    pub access: bool,
}

/// The shape of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// Readable.
    Text,
}

/// Why the log can't be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log.level is not a filter such as 'info' or 'info,bearerd::proxy=debug': {0}")]
    Level(#[from] filter::FilterError),
    /// The file can't be opened.
    #[error("the log file {} can't be opened for writing: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The writer's thread can't be started.
    #[error("the log's writer can't be started: {0}")]
    Thread(io::Error),
    /// A log was started before.
    #[error("this process has a log already")]
    AlreadyStarted,
}

/// Starts the process's log, and says what its filter is changed with. Lines are written until the [`writer::Flush`] is
/// dropped; `dropped` is called for each line that found the queue full.
pub fn start(
    settings: &Settings,
    clock: Clock,
    dropped: impl Fn() + Send + Sync + 'static,
) -> Result<(Control, writer::Flush), LogError> {
    let control = Control::new(&settings.level, settings.access)?;
    let (output, terminal): (Box<dyn io::Write + Send>, bool) = match &settings.file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|source| LogError::File {
                path: path.clone(),
                source,
            })?;
            (Box::new(file), false)
        }
        None => (Box::new(io::stderr()), io::stderr().is_terminal()),
    };
    let (lines, flush) = writer::spawn(output, dropped).map_err(LogError::Thread)?;
    let default = if terminal { Format::Text } else { Format::Json };
    let format = settings.format.unwrap_or(default);
    let access = AccessLines::new(clock.clone(), lines.clone(), control.clone());
    let subscriber = tracing_subscriber::registry().with(layers(format, &control, terminal, &clock, &lines));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::AlreadyStarted)?;
    if format == Format::Json {
        access.install();
    }
    Ok((control, flush))
}

/// The layers that filter, format and queue.
fn layers<S>(
    format: Format,
    control: &Control,
    terminal: bool,
    clock: &Clock,
    lines: &writer::Lines,
) -> Vec<Box<dyn Layer<S> + Send + Sync>>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    let fmt = || {
        tracing_subscriber::fmt::layer()
            .with_timer(Stamp(clock.clone()))
            .with_writer(lines.clone())
    };
    match format {
        // Access lines are no events there.
        Format::Json => {
            let json = fmt().json().flatten_event(true).with_span_list(false);
            vec![json.with_filter(control.others()).boxed()]
        }
        Format::Text => vec![
            fmt().with_ansi(terminal).with_filter(control.access()).boxed(),
            fmt().with_ansi(terminal).with_filter(control.others()).boxed(),
        ],
    }
}

/// RFC 3339, in UTC, to the millisecond, read from the program's clock.
struct Stamp(Clock);

thread_local! {
    /// The last second that was written, and its text up to the point: the lines of a busy thread share it.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

impl Stamp {
    fn write(&self, text: &mut String) {
        let wall = self.0.wall();
        SECOND.with_borrow_mut(|last| {
            if last.0 != wall / 1000 || last.1.is_empty() {
                let stamp = jiff::Timestamp::from_second((wall / 1000) as i64).unwrap_or_default();
                let second = format!("{stamp:.0}");
                *last = (wall / 1000, second.trim_end_matches('Z').to_owned());
            }
            text.push_str(&last.1);
        });
        text.push('.');
        access::push_three_digits(text, wall % 1000);
        text.push('Z');
    }
}

impl FormatTime for Stamp {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let mut stamp = String::with_capacity(32);
        self.write(&mut stamp);
        writer.write_str(&stamp)
    }
}

#[cfg(test)]
mod tests;
