//! Where the lines go: stderr, or a file that can be opened again under its name.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Stderr, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags, fstat};

/// Takes the lines of the log.
pub(super) trait Sink: Write + Send {
    /// Waits up to `wait` until the sink takes [`LOG_CHUNK_BYTES_MAX`](crate::limits::LOG_CHUNK_BYTES_MAX) without blocking,
    /// or fails at once. Returns whether it does.
    fn has_room(&self, wait: Duration) -> bool;

    /// Returns the number of bytes in the file; `None` for anything else.
    fn file_bytes(&self) -> Option<u64>;

    /// Opens the file again by its name, which may be another file now. May block.
    ///
    /// # Errors
    /// It cannot be opened; the old file stays open.
    fn reopen(&mut self) -> io::Result<()>;
}

impl Sink for Stderr {
    fn has_room(&self, wait: Duration) -> bool {
        is_writable(self, wait)
    }

    fn file_bytes(&self) -> Option<u64> {
        file_bytes(self)
    }

    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A log file.
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    mode: u32,
}

impl LogFile {
    /// Opens the file, or creates it with `mode`.
    ///
    /// # Errors
    /// See `open(2)`.
    pub(super) fn open(path: &Path, mode: u32) -> io::Result<Self> {
        Ok(Self { file: open(path, mode)?, path: path.to_owned(), mode })
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for LogFile {
    fn has_room(&self, wait: Duration) -> bool {
        is_writable(&self.file, wait)
    }

    fn file_bytes(&self) -> Option<u64> {
        file_bytes(&self.file)
    }

    fn reopen(&mut self) -> io::Result<()> {
        self.file = open(&self.path, self.mode)?;
        Ok(())
    }
}

/// Opens a file to append to. Each write goes to the end of the file, also if another program has shortened it (`open(2)`:
/// `O_APPEND`). Does not wait for the reader of a FIFO. A new file has exactly `mode`, whatever the umask is; the mode of an
/// existing file stays as it is.
fn open(path: &Path, mode: u32) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let mut options = OpenOptions::new();
    options.append(true).mode(mode).custom_flags(flags);
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(mode))?;
            Ok(file)
        }
        // `create` as well: the file may have been removed meanwhile, and a link may lead to a file that does not exist.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(path),
        Err(error) => Err(error),
    }
}

/// Waits up to `wait` until a write does not block (`poll(2)`, `POLLOUT`).
fn is_writable(file: impl AsFd, wait: Duration) -> bool {
    let mut ready = [PollFd::new(&file, PollFlags::OUT)];
    let wait = Timespec::try_from(wait).ok();
    matches!(poll(&mut ready, wait.as_ref()), Ok(1..))
}

/// Returns the length of a regular file.
fn file_bytes(file: impl AsFd) -> Option<u64> {
    let stat = fstat(file).ok()?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    is_file.then(|| u64::try_from(stat.st_size).unwrap_or(0))
}
