//! A bounded queue of lines, and the one thread that writes them.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How many lines may wait, a few seconds of a busy proxy's. More are dropped and counted.
pub const QUEUE: usize = 8192;
/// How long a shutdown waits for the queue to empty: a blocked pipe must not keep the process alive.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);
/// Lines are handed to the operating system in pieces of about this many bytes while more of them wait.
const BATCH: usize = 64 * 1024;

enum Message {
    Line(Vec<u8>),
    End,
}

/// Where lines go in. Clones share the queue.
#[derive(Clone)]
pub struct Lines {
    queue: SyncSender<Message>,
    dropped: Arc<dyn Fn() + Send + Sync>,
}

/// Writes what is queued when it is dropped, within a deadline.
#[must_use = "dropping it ends the log"]
pub struct Flush {
    queue: SyncSender<Message>,
    done: Receiver<()>,
}

/// Starts the thread. `dropped` is called for each line that found the queue full.
pub fn spawn(
    output: impl Write + Send + 'static,
    dropped: impl Fn() + Send + Sync + 'static,
) -> io::Result<(Lines, Flush)> {
    let (queue, lines) = sync_channel(QUEUE);
    let (finished, done) = sync_channel(1);
    thread::Builder::new().name("log".into()).spawn(move || {
        write_lines(&lines, output);
        // Nobody waits any more if the deadline has passed.
        let _ = finished.send(());
    })?;
    let lines = Lines {
        queue: queue.clone(),
        dropped: Arc::new(dropped),
    };
    Ok((lines, Flush { queue, done }))
}

/// Runs until told to end. A write that fails is given up: there is nowhere left to complain.
fn write_lines(lines: &Receiver<Message>, mut output: impl Write) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Ok(mut message) = lines.recv() {
        loop {
            match message {
                Message::Line(line) => batch.extend_from_slice(&line),
                Message::End => {
                    let _ = output.write_all(&batch).and_then(|()| output.flush());
                    return;
                }
            }
            if batch.len() >= BATCH {
                break;
            }
            match lines.try_recv() {
                Ok(next) => message = next,
                Err(_) => break,
            }
        }
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        batch.clear();
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        // A full queue would block here, so the wait for a place in it counts against the deadline too.
        let queue = self.queue.clone();
        let told = thread::Builder::new().spawn(move || queue.send(Message::End));
        if told.is_ok() {
            let _ = self.done.recv_timeout(FLUSH_DEADLINE);
        }
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Takes one event's text, which tracing-subscriber hands over in a single write.
pub struct Line<'a>(&'a Lines);

impl Write for Line<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.0.queue.try_send(Message::Line(one_line(text))).is_err() {
            (self.0.dropped)();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text from outside may hold line breaks, and must not look like a line of its own.
fn one_line(text: &[u8]) -> Vec<u8> {
    let inner = text.strip_suffix(b"\n").unwrap_or(text);
    let mut line = Vec::with_capacity(text.len() + 1);
    for &byte in inner {
        match byte {
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            _ => line.push(byte),
        }
    }
    line.push(b'\n');
    line
}
