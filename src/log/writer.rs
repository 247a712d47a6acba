//! A bounded queue of lines, and the one thread that writes them.

use std::{
    io::{self, Write},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// How much text may wait, in bytes: a few seconds of a busy proxy's. Lines beyond it are dropped and counted.
pub const MOST_WAITING: usize = 2 * 1024 * 1024;
/// How long lines gather before they are written together, so that neither a thread is woken nor the system called
/// for each.
const GATHERED: Duration = Duration::from_millis(20);
/// How much text is written without gathering more, in bytes.
const ENOUGH: usize = 64 * 1024;
/// How long a shutdown waits for the queue to empty: a blocked pipe must not keep the process alive.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// Where lines go in. Clones share the queue.
#[derive(Clone)]
pub struct Lines {
    queue: Arc<Queue>,
    dropped: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    change: Condvar,
}

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    /// Whether a line in it should be out before a crash can take it.
    is_urgent: bool,
    /// Whether whoever writes sleeps until there is a line. While lines keep coming it looks by itself, so that those who
    /// queue them wake nobody.
    is_idle: bool,
    has_ended: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // What is done while it is held can't fail half-way.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what is queued when it is dropped, within a deadline.
#[must_use = "dropping it ends the log"]
pub struct Flush {
    queue: Arc<Queue>,
    done: Receiver<()>,
}

/// Starts the thread. `dropped` is called for each line that found the queue full.
pub fn spawn(
    output: impl Write + Send + 'static,
    dropped: impl Fn() + Send + Sync + 'static,
) -> io::Result<(Lines, Flush)> {
    let queue = Arc::<Queue>::default();
    let (finished, done) = sync_channel(1);
    let reader = queue.clone();
    thread::Builder::new().name("log".into()).spawn(move || {
        write_lines(&reader, output);
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
fn write_lines(queue: &Queue, mut output: impl Write) {
    let mut batch = Vec::new();
    loop {
        let is_enough = |waiting: &mut Waiting| waiting.text.len() >= ENOUGH || waiting.is_urgent || waiting.has_ended;
        let (mut waiting, _) = queue
            .change
            .wait_timeout_while(queue.waiting(), GATHERED, |waiting| !is_enough(waiting))
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.text.is_empty() && !waiting.has_ended {
            waiting.is_idle = true;
            let woken = queue
                .change
                .wait_while(waiting, |waiting| waiting.text.is_empty() && !waiting.has_ended);
            woken.unwrap_or_else(PoisonError::into_inner).is_idle = false;
            continue;
        }
        std::mem::swap(&mut waiting.text, &mut batch);
        waiting.is_urgent = false;
        let has_ended = waiting.has_ended;
        drop(waiting);
        let _ = output.write_all(&batch).and_then(|()| output.flush());
        if has_ended {
            return;
        }
        batch.clear();
        // A burst's memory need not stay for good.
        batch.shrink_to(2 * ENOUGH);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.queue.waiting().has_ended = true;
        self.queue.change.notify_one();
        let _ = self.done.recv_timeout(FLUSH_DEADLINE);
    }
}

impl Lines {
    /// Queues one line, which is written at once; a line break within it, which may come from outside, must not look
    /// like another's beginning.
    pub fn push(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if !line.contains(&b'\n') && !line.contains(&b'\r') {
            return self.queue(line, true);
        }
        let mut whole = Vec::with_capacity(line.len() + 8);
        for byte in line {
            match byte {
                b'\n' => whole.extend_from_slice(b"\\n"),
                b'\r' => whole.extend_from_slice(b"\\r"),
                _ => whole.push(*byte),
            }
        }
        self.queue(&whole, true);
    }

    /// Queues one line that has no line breaks, and that may be lost in a crash: those of requests.
    pub(super) fn push_lazily(&self, line: &[u8]) {
        self.queue(line, false);
    }

    fn queue(&self, line: &[u8], is_urgent: bool) {
        let mut waiting = self.queue.waiting();
        let before = waiting.text.len();
        if before + line.len() >= MOST_WAITING {
            drop(waiting);
            (self.dropped)();
            return;
        }
        waiting.text.extend_from_slice(line);
        waiting.text.push(b'\n');
        waiting.is_urgent |= is_urgent;
        let is_enough = before < ENOUGH && waiting.text.len() >= ENOUGH;
        let is_first = before == 0 && waiting.is_idle;
        drop(waiting);
        if is_first || is_enough || is_urgent {
            self.queue.change.notify_one();
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
        self.0.push(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
