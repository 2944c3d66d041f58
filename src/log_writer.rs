//! Rule 10: nothing waits on the loop's thread, not for a full stderr either. Log lines on their way there never hold up the
//! thread that logs them.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::limits::{LOG_CHUNK_BYTES_MAX, LOG_FLUSH, LOG_IDLE, LOG_QUEUE_BYTES_MAX, LOG_RETRY};

/// A sink that takes log lines at once and gives them to a thread, which may block on the real sink.
///
/// Too many lines waiting: the next ones are dropped, and the log says how many. The lock is held only to append to or to
/// swap a buffer, never while anything is written.
///
/// The thread is there only while there is something to write and for a while after that. As long as a process has one
/// thread, the kernel looks up its descriptors without counting references, which every system call of the loop gains by.
///
/// Where no thread can be had, the thread that logs writes as much as the sink takes without waiting, and the end of the process waits for
/// the sink as it waits for the thread.
#[derive(Clone)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
}

struct Shared {
    /// The thread holds this lock as long as it lives. Others only try to take it, where there is no thread.
    sink: Mutex<Box<dyn Write + Send>>,
    /// Whether the sink takes [`LOG_CHUNK_BYTES_MAX`] without waiting, within a time.
    has_room: fn(Duration) -> bool,
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
    /// A writer in front of stderr.
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

    /// Starts the thread. If there is none to be had, the next line tries again.
    fn start(&self) {
        let shared = Arc::clone(&self.shared);
        if thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_lines()).is_err() {
            self.shared.lock().has_thread = false;
            self.shared.write_without_thread(Instant::now());
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
            if queue.has_thread {
                queue = self.shared.drained.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
            } else {
                drop(queue);
                self.shared.write_without_thread(deadline);
                queue = self.shared.lock();
                if !queue.is_drained() {
                    // Another thread is writing at the moment, or the sink has no room whatever it says.
                    drop(queue);
                    thread::sleep(LOG_RETRY);
                    queue = self.shared.lock();
                }
            }
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
            tell_dropped(dropped_lines, &mut lines);
            write_out(&mut *sink, &lines);
            lines.clear();
        }
    }

    /// Writes from this thread, chunk by chunk, as long as the sink has room for one; waits for room until `deadline`. What is left
    /// stays in the queue. Of two threads one writes, and takes along what the other one has brought.
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
                    // Nobody can be told that a log cannot be written.
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

    /// Takes all lines, if there are any and no thread is there to write them.
    fn take_without_thread(&self, lines: &mut Vec<u8>) -> bool {
        let mut queue = self.lock();
        let takes = !queue.has_thread && !queue.is_drained();
        if takes {
            mem::swap(&mut queue.lines, lines);
            tell_dropped(mem::take(&mut queue.dropped_lines), lines);
        }
        takes
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

fn tell_dropped(dropped_lines: u64, lines: &mut Vec<u8>) {
    if dropped_lines > 0 {
        lines.extend_from_slice(format!("{dropped_lines} log lines dropped\n").as_bytes());
    }
}

/// Whether stderr takes a chunk without waiting, or fails at once, within `wait` (`poll(2)`, `POLLOUT`).
fn stderr_has_room(wait: Duration) -> bool {
    let stderr = io::stderr();
    let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
    let wait = Timespec::try_from(wait).ok();
    matches!(poll(&mut ready, wait.as_ref()), Ok(1..))
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
mod tests;
