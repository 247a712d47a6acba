use std::{
    sync::mpsc::{self, Sender},
    time::Duration,
};

use super::*;

/// Sends on what is written.
struct Written(Sender<Vec<u8>>);

impl Write for Written {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.send(text.to_vec()).map_err(io::Error::other)?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Far longer than lines gather.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn lazy_lines_are_written_whether_the_writer_sleeps_or_gathers() {
    let (output, written) = mpsc::channel();
    let (lines, flush) = spawn(Written(output), || {}).unwrap();
    for _ in 0..3 {
        while !lines.queue.waiting().is_idle {
            thread::yield_now();
        }
        lines.push_lazily(b"it sleeps");
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), b"it sleeps\n");
        lines.push_lazily(b"it gathers");
        assert_eq!(written.recv_timeout(PATIENCE).unwrap(), b"it gathers\n");
    }
    drop(flush);
    assert!(written.recv_timeout(PATIENCE).is_err(), "nothing else was written");
}
