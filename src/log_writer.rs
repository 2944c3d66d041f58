//! Rule 10: nothing blocks the loop's thread, not even a full stderr or a slow disk. A queue and a thread of its own write the log.

mod output;
mod sink;

use std::io::{self, Write};
use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::thread;
use std::time::Instant;

use log::Level;

use self::output::Output;
pub(crate) use self::output::{Render, write_out};
use self::sink::{LogFile, Sink};
use crate::limits::{LOG_FLUSH, LOG_IDLE, LOG_QUEUE_BYTES_MAX, LOG_RETRY};

/// The part of the program that the log names in lines about itself.
pub(crate) const TARGET: &str = module_path!();

/// A sink that queues log lines at once; a thread, which may block, writes them to the real sink.
///
/// When the queue is full, further lines are dropped, and the log says how many. The lock of the queue is held only to
/// append to or to swap a buffer, never during a write. Lines that the sink does not take, such as a file on a full disk, are
/// lost; as soon as it takes lines again, the log says how many.
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

/// The writer that [`LogWriter::serve_process`] has named. A process has one log, as it has one [`log::logger`].
static OF_PROCESS: OnceLock<LogWriter> = OnceLock::new();

/// Opens the log file of the process again: [`LogWriter::reopen`]. Does nothing if the process has no log of ours.
pub(crate) fn reopen() {
    if let Some(writer) = OF_PROCESS.get() {
        writer.reopen();
    }
}

/// Returns the number of lines that were not written: the queue was full, or the sink did not take them. Zero if the process
/// has no log of ours.
pub(crate) fn lost_lines() -> u64 {
    OF_PROCESS.get().map_or(0, LogWriter::lost_lines)
}

/// The state that the writers share with the thread.
struct Shared {
    /// The log's thread holds this lock as long as it lives. Other threads only try to lock it while that thread does
    /// not exist.
    output: Mutex<Output>,
    /// Makes a line of a sentence of the log about itself.
    render: Render,
    /// Lines that were not written, which [`Output`] counts too.
    lost_lines: Arc<AtomicU64>,
    /// The lines that wait.
    queue: Mutex<Queue>,
    /// Signalled when there is something to do for the thread.
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
    /// Whether the log file is to be opened again.
    reopens: bool,
    /// Whether what the sink has not taken is to be written once more.
    retries: bool,
    /// Whether the log's thread exists.
    has_thread: bool,
    /// Whether that thread is writing lines that it has taken from the queue.
    is_writing: bool,
    /// Whether the sink had not taken everything when the thread last looked.
    is_in_trouble: bool,
}

/// What the log's thread takes from the queue, beside the lines.
struct Taken {
    /// Lines that were dropped after those.
    dropped_lines: u64,
    /// Whether the log file is to be opened again.
    reopens: bool,
}

impl LogWriter {
    /// Makes a writer for stderr. `render` makes lines of what the log says about itself.
    pub(crate) fn to_stderr(render: Render) -> Self {
        Self::new(io::stderr(), render)
    }

    /// Makes a writer that appends to a file, which is created with `mode` if it does not exist.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn to_file(path: &Path, mode: u32, render: Render) -> io::Result<Self> {
        Ok(Self::new(LogFile::open(path, mode)?, render))
    }

    fn new(sink: impl Sink + 'static, render: Render) -> Self {
        let lost_lines = Arc::new(AtomicU64::new(0));
        let shared = Shared {
            output: Mutex::new(Output::new(Box::new(sink), render, Arc::clone(&lost_lines))),
            render,
            lost_lines,
            queue: Mutex::default(),
            filled: Condvar::new(),
            drained: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Makes the log's thread open the log file again by its name, as after it was renamed to begin a new one. Does not wait
    /// for that. No line is lost: each goes to the old file or to the new one. If the file cannot be opened, the log goes on in
    /// the old one and says so. Does nothing if the log goes to stderr.
    pub(crate) fn reopen(&self) {
        self.ask(|queue| queue.reopens = true);
    }

    /// Makes this writer the one of the process, which [`reopen`] is about, unless the process has one already.
    pub(crate) fn serve_process(&self) {
        let _ = OF_PROCESS.set(self.clone());
    }

    /// Returns the number of lines that were not written so far.
    fn lost_lines(&self) -> u64 {
        self.shared.lost_lines.load(Ordering::Relaxed)
    }

    /// Changes the queue, and wakes the log's thread or starts it. If it cannot be started, the next line retries.
    fn ask(&self, change: impl FnOnce(&mut Queue)) {
        let mut queue = self.shared.lock();
        change(&mut queue);
        let has_thread = mem::replace(&mut queue.has_thread, true);
        drop(queue);
        if has_thread {
            self.shared.filled.notify_one();
            return;
        }
        let shared = Arc::clone(&self.shared);
        if thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_lines()).is_err() {
            self.shared.lock().has_thread = false;
            self.shared.write_without_thread(Instant::now());
        }
    }

    /// Waits until everything is written, but at most 200 ms. What the sink has not taken is tried once more.
    pub(crate) fn drain(&self) {
        let deadline = Instant::now() + LOG_FLUSH;
        if self.shared.lock().is_in_trouble {
            self.ask(|queue| queue.retries = true);
        }
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
        self.ask(|queue| {
            if queue.dropped_lines > 0 || queue.lines.len() + line.len() > LOG_QUEUE_BYTES_MAX {
                queue.dropped_lines += 1;
                self.shared.lost_lines.fetch_add(1, Ordering::Relaxed);
            } else {
                queue.lines.extend_from_slice(line);
            }
        });
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    /// Whether everything is written that can be.
    fn is_drained(&self) -> bool {
        self.lines.is_empty() && self.dropped_lines == 0 && !self.is_writing && !self.retries
    }

    /// Whether the thread has nothing to do.
    fn is_idle(&self) -> bool {
        self.is_drained() && !self.reopens
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the log's thread: writes until no line has come for [`LOG_IDLE`].
    fn write_lines(&self) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        while let Some(Taken { dropped_lines, reopens }) = self.take(&mut lines, output.is_in_trouble()) {
            if reopens {
                output.reopen();
            }
            self.append_dropped(dropped_lines, &mut lines);
            lines = output.write(lines);
        }
    }

    /// Writes on this thread, chunk by chunk, while the sink has room; waits for room until `deadline`. Unwritten lines
    /// stay in the queue. If two threads call this, one writes the lines of both.
    fn write_without_thread(&self, deadline: Instant) {
        let mut output = match self.output.try_lock() {
            Ok(output) => output,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        while let Some(lines) = self.take_without_thread() {
            let left = output.write_chunks(lines, deadline);
            let is_stuck = !left.is_empty();
            let mut queue = self.lock();
            queue.is_in_trouble = output.is_in_trouble();
            queue.lines.splice(..0, left);
            if is_stuck {
                return;
            }
        }
    }

    /// Takes all lines, if there is something to write and the log's thread does not exist.
    fn take_without_thread(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        if queue.has_thread || queue.is_drained() {
            return None;
        }
        queue.retries = false;
        let mut lines = mem::take(&mut queue.lines);
        self.append_dropped(mem::take(&mut queue.dropped_lines), &mut lines);
        Some(lines)
    }

    /// Waits for something to do and takes all lines. Returns `None` if nothing came: the next line then starts a new thread.
    fn take(&self, lines: &mut Vec<u8>, is_in_trouble: bool) -> Option<Taken> {
        let mut queue = self.lock();
        queue.is_writing = false;
        queue.is_in_trouble = is_in_trouble;
        if queue.is_idle() {
            self.drained.notify_all();
            let waited = self.filled.wait_timeout_while(queue, LOG_IDLE, |queue| queue.is_idle());
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        queue.has_thread = !queue.is_idle();
        queue.is_writing = queue.has_thread;
        queue.retries = false;
        mem::swap(&mut queue.lines, lines);
        let taken =
            Taken { dropped_lines: mem::take(&mut queue.dropped_lines), reopens: mem::take(&mut queue.reopens) };
        queue.has_thread.then_some(taken)
    }

    fn append_dropped(&self, dropped_lines: u64, lines: &mut Vec<u8>) {
        if dropped_lines > 0 {
            let line = (self.render)(Level::Warn, &format!("{dropped_lines} log lines dropped"));
            lines.extend_from_slice(line.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
