//! Rule 10: nothing blocks the loop's thread, not even a full stderr. A queue and a thread of its own write the log.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::limits::{LOG_CHUNK_BYTES_MAX, LOG_FLUSH, LOG_IDLE, LOG_QUEUE_BYTES_MAX, LOG_RETRY};

/// A sink that queues log lines at once; a thread, which may block, writes them to the real sink.
///
/// When the queue is full, further lines are dropped, and the log says how many. The lock of the queue is held only to
/// append to or to swap a buffer, never during a write.
///
/// The thread exists only while there are lines to write, and for a while after that. As long as a process has one
/// thread, the kernel looks up descriptors without counting references, which makes every system call of the loop
/// faster.
///
/// If no thread can be started, the logging thread writes as much as the sink takes without waiting, and the end of the
/// process waits for the sink as it waits for the thread.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

/// The state that the writers share with the thread.
struct Shared {
    /// The log's thread holds this lock as long as it lives. Other threads only try to lock it while that thread does
    /// not exist.
    sink: Mutex<Box<dyn Write + Send>>,
    /// Returns whether the sink, within a time, takes [`LOG_CHUNK_BYTES_MAX`] without blocking.
    has_room: fn(Duration) -> bool,
    /// The lines that wait.
    queue: Mutex<Queue>,
    /// Signalled when a line was queued.
    filled: Condvar,
    /// Signalled when all lines have been written.
    drained: Condvar,
}

/// Lines that wait for the thread.
#[derive(Debug, Default)]
struct Queue {
    /// The text of the waiting lines, at most [`LOG_QUEUE_BYTES_MAX`].
    lines: Vec<u8>,
    /// Lines that were dropped after those.
    dropped_lines: u64,
    /// Whether the log's thread exists.
    has_thread: bool,
    /// Whether that thread is writing lines that it has taken from the queue.
    is_writing: bool,
}

impl LogWriter {
    /// Makes a writer for stderr.
    pub(crate) fn to_stderr() -> Self {
        Self::new(io::stderr(), stderr_has_room)
    }

    fn new(sink: impl Write + Send + 'static, has_room: fn(Duration) -> bool) -> Self {
        let shared = Shared {
            sink: Mutex::new(Box::new(sink)),
            has_room,
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the thread. If no thread can be started, the next line retries.
    fn start(&self) {
        let shared = Arc::clone(&self.shared);
        if thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_lines()).is_err() {
            self.shared.lock().has_thread = false;
            self.shared.write_without_thread(Instant::now());
        }
    }

    /// Waits until everything is written, but at most 200 ms.
    pub(crate) fn drain(&self) {
        let deadline = Instant::now() + LOG_FLUSH;
        let mut queue = self.shared.lock();
        while !queue.is_drained() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if queue.has_thread {
                queue = self.shared.drained.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                drop(queue);
                self.shared.write_without_thread(deadline);
                queue = self.shared.lock();
                if !queue.is_drained() {
                    // Another thread is writing at the moment, or the sink has less room than it reported.
                    drop(queue);
                    thread::sleep(LOG_RETRY);
                    queue = self.shared.lock();
                }
            }
        }
    }
}

/// Each call writes one line: env_logger formats a record completely before it writes.
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

    /// Runs the log's thread: writes until no line has come for [`LOG_IDLE`].
    fn write_lines(&self) {
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        while let Some(dropped_lines) = self.take(&mut lines) {
            append_dropped(dropped_lines, &mut lines);
            write_out(&mut *sink, &lines);
            lines.clear();
        }
    }

    /// Writes on this thread, chunk by chunk, while the sink has room; waits for room until `deadline`. Unwritten lines
    /// stay in the queue. If two threads call this, one writes the lines of both.
    fn write_without_thread(&self, deadline: Instant) {
        let mut sink = match self.sink.try_lock() {
            Ok(sink) => sink,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let mut lines = Vec::new();
        while self.take_without_thread(&mut lines) {
            let mut left = &lines[..];
            while !left.is_empty() && (self.has_room)(deadline.saturating_duration_since(Instant::now())) {
                let chunk = &left[..left.len().min(LOG_CHUNK_BYTES_MAX)];
                match sink.write(chunk) {
                    Ok(count @ 1..) => left = &left[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An error of the log cannot be reported anywhere.
                    Ok(0) | Err(_) => left = &[],
                }
            }
            let is_stuck = !left.is_empty();
            self.lock().lines.splice(..0, left.iter().copied());
            if is_stuck {
                return;
            }
            lines.clear();
        }
    }

    /// Takes all lines, if there are any and the log's thread does not exist. Returns whether it took any.
    fn take_without_thread(&self, lines: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        let takes = !queue.has_thread && !queue.is_drained();
        if takes {
            mem::swap(&mut queue.lines, lines);
            append_dropped(mem::take(&mut queue.dropped_lines), lines);
        }
        takes
    }

    /// Waits for lines and takes all of them. Returns how many were dropped after them; `None` if no line came: the
    /// next line then starts a new thread.
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

fn append_dropped(dropped_lines: u64, lines: &mut Vec<u8>) {
    if dropped_lines > 0 {
        lines.extend_from_slice(format!("{dropped_lines} log lines dropped\n").as_bytes());
    }
}

/// Waits up to `wait` until stderr takes a chunk without blocking, or fails at once (`poll(2)`, `POLLOUT`). Returns
/// whether it does.
fn stderr_has_room(wait: Duration) -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    let wait = Timespec::try_from(wait).ok();
    matches!(poll(&mut ready, wait.as_ref()), Ok(1..))
}

/// Writes `lines` as far as possible. An error of the log cannot be reported anywhere.
pub(crate) fn write_out(sink: &mut dyn Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match sink.write(lines) {
            Ok(0) => return,
            Ok(count) => lines = &lines[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process that shares this terminal or pipe made it non-blocking. This thread may sleep: the loop
            // does not wait for it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOG_RETRY),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests;
