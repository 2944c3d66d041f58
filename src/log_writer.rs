//! Log lines on their way to stderr, which never hold up the thread that writes them.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::limits::{LOG_FLUSH, LOG_QUEUE_BYTES_MAX, LOG_RETRY};

/// A sink that takes log lines at once and gives them to a thread, which may block on the real sink.
///
/// Too many lines waiting: the next ones are dropped, and the log says how many. The lock is held only to append to or to
/// swap a buffer, never while anything is written.
#[derive(Debug, Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Lines have come.
    filled: Condvar,
    /// All lines have been written.
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: Vec<u8>,
    dropped_lines: u64,
    is_writing: bool,
}

impl LogWriter {
    /// A writer in front of `sink`, with a thread of its own.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn new(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Self { shared: Arc::clone(&shared) };
        thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_to(sink))?;
        Ok(writer)
    }

    /// Waits until everything is written, but no longer than a slow sink is worth: 200 ms.
    pub(crate) fn drain(&self) {
        let deadline = Instant::now() + LOG_FLUSH;
        let mut queue = self.shared.lock();
        while !queue.is_drained() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.shared.drained.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Each call is one line: env_logger formats a record completely before it writes.
impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.shared.lock();
        if queue.dropped_lines > 0 || queue.lines.len() + line.len() > LOG_QUEUE_BYTES_MAX {
            queue.dropped_lines += 1;
        } else {
            queue.lines.extend_from_slice(line);
        }
        drop(queue);
        self.shared.filled.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn is_drained(&self) -> bool {
        self.lines.is_empty() && self.dropped_lines == 0 && !self.is_writing
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        loop {
            let dropped_lines = self.take(&mut lines);
            if dropped_lines > 0 {
                lines.extend_from_slice(format!("{dropped_lines} log lines dropped\n").as_bytes());
            }
            write_out(&mut sink, &lines);
            lines.clear();
        }
    }

    /// Waits for lines and takes all of them; says how many were dropped after them.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        let mut queue = self.lock();
        queue.is_writing = false;
        while queue.is_drained() {
            self.drained.notify_all();
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_writing = true;
        mem::swap(&mut queue.lines, lines);
        mem::take(&mut queue.dropped_lines)
    }
}

/// Writes what can be written. There is nobody to tell that a log cannot be written.
fn write_out(sink: &mut impl Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match sink.write(lines) {
            Ok(0) => return,
            Ok(count) => lines = &lines[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody who shares this terminal or pipe made it non-blocking. This thread has nothing else to do, and the loop
            // does not wait for it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOG_RETRY),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Says when a write begins, and lets it end when it is told to.
    struct Gate {
        begun: mpsc::Sender<Vec<u8>>,
        go: mpsc::Receiver<io::Result<()>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(bytes.to_vec());
            match self.go.recv() {
                Ok(result) => result.map(|()| bytes.len()),
                Err(_) => Ok(bytes.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (LogWriter, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
        let (begun, writes) = mpsc::channel();
        let (open, go) = mpsc::channel();
        (LogWriter::new(Gate { begun, go }).unwrap(), writes, open)
    }

    #[test]
    fn a_stuck_sink_holds_nobody_up_and_what_was_dropped_is_counted() {
        let (mut writer, writes, open) = gated();
        writer.write_all(b"first\n").unwrap();
        assert_eq!(writes.recv().unwrap(), b"first\n");

        let line = [b'x'; 1024];
        let fitting = LOG_QUEUE_BYTES_MAX / line.len();
        for _ in 0..fitting + 7 {
            writer.write_all(&line).unwrap();
        }
        open.send(Ok(())).unwrap();
        let second = writes.recv().unwrap();
        assert_eq!(second.len(), LOG_QUEUE_BYTES_MAX + b"7 log lines dropped\n".len());
        assert!(second.ends_with(b"x7 log lines dropped\n"));

        drop(open);
        writer.write_all(b"last\n").unwrap();
        assert_eq!(writes.recv().unwrap(), b"last\n");
    }

    #[test]
    fn draining_waits_for_what_is_written_and_gives_up_on_a_stuck_sink() {
        let (mut writer, writes, open) = gated();
        writer.write_all(b"line\n").unwrap();
        writes.recv().unwrap();
        let start = Instant::now();
        writer.drain();
        assert!(start.elapsed() >= LOG_FLUSH);

        drop(open);
        writer.write_all(b"more\n").unwrap();
        writer.drain();
        assert!(writer.shared.lock().is_drained());
    }

    #[test]
    fn an_error_of_the_sink_ends_nothing() {
        let (mut writer, writes, open) = gated();
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::BrokenPipe] {
            writer.write_all(b"lost\n").unwrap();
            assert_eq!(writes.recv().unwrap(), b"lost\n");
            open.send(Err(kind.into())).unwrap();
            writer.drain();
        }
        writer.write_all(b"again\n").unwrap();
        assert_eq!(writes.recv().unwrap(), b"again\n");
        open.send(Err(io::ErrorKind::WouldBlock.into())).unwrap();
        assert_eq!(writes.recv().unwrap(), b"again\n");
    }
}
