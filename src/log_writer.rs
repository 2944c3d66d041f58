//! Log lines on their way to stderr, which never hold up the thread that writes them.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use crate::limits::{LOG_FLUSH, LOG_IDLE, LOG_QUEUE_BYTES_MAX, LOG_RETRY};

/// A sink that takes log lines at once and gives them to a thread, which may block on the real sink.
///
/// Too many lines waiting: the next ones are dropped, and the log says how many. The lock is held only to append to or to
/// swap a buffer, never while anything is written.
///
/// The thread is there only while there is something to write and for a while after that. As long as a process has one
/// thread, the kernel looks up its descriptors without counting references, which every system call of the loop gains by.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

struct Shared {
    /// Only the thread takes this lock.
    sink: Mutex<Box<dyn Write + Send>>,
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
    has_thread: bool,
    is_writing: bool,
}

impl LogWriter {
    /// A writer in front of `sink`.
    pub(crate) fn new(sink: impl Write + Send + 'static) -> Self {
        let shared = Shared {
            sink: Mutex::new(Box::new(sink)),
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the thread. If there is none to be had, the next line tries again.
    fn start(&self) {
        let shared = Arc::clone(&self.shared);
        if thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_lines()).is_err() {
            self.shared.lock().has_thread = false;
        }
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
        let has_thread = mem::replace(&mut queue.has_thread, true);
        drop(queue);
        if has_thread {
            self.shared.filled.notify_one();
        } else {
            self.start();
        }
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

    /// The thread: writes until no lines have come for a while.
    fn write_lines(&self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        while let Some(dropped_lines) = self.take(&mut lines) {
            if dropped_lines > 0 {
                lines.extend_from_slice(format!("{dropped_lines} log lines dropped\n").as_bytes());
            }
            write_out(&mut *sink, &lines);
            lines.clear();
        }
    }

    /// Waits for lines and takes all of them; says how many were dropped after them. `None` if none came: whoever writes the
    /// next one has to start a thread.
    fn take(&self, lines: &mut Vec<u8>) -> Option<u64> {
        let mut queue = self.lock();
        queue.is_writing = false;
        if queue.is_drained() {
            self.drained.notify_all();
            let waited = self.filled.wait_timeout_while(queue, LOG_IDLE, |queue| queue.is_drained());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.has_thread = !queue.is_drained();
        queue.is_writing = queue.has_thread;
        mem::swap(&mut queue.lines, lines);
        let dropped_lines = mem::take(&mut queue.dropped_lines);
        queue.has_thread.then_some(dropped_lines)
    }
}

/// Writes what can be written. There is nobody to tell that a log cannot be written.
pub(crate) fn write_out(sink: &mut dyn Write, mut lines: &[u8]) {
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
        (LogWriter::new(Gate { begun, go }), writes, open)
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
    fn a_log_at_rest_has_no_thread_and_the_next_line_starts_one() {
        let (mut writer, writes, open) = gated();
        drop(open);
        for line in [b"one\n", b"two\n"] {
            writer.write_all(line).unwrap();
            assert_eq!(writes.recv().unwrap(), line);
            // The thread holds the sink for as long as it lives.
            drop(writer.shared.sink.lock().unwrap());
            assert!(!writer.shared.lock().has_thread);
        }
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
