//! The disk operations of a server that receives files, as traits.
//!
//! Every call may block and belongs on a worker. Each method is one system call or a few, so that the order which makes
//! a file durable (write, sync, link, sync the directory) is visible in the protocol, and a simulation can fail or
//! crash between any two.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use crate::pipe::Pipe;

/// A disk: opens directories.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a directory, once; every later call is relative to its descriptor. Creates it if it is missing, and
    /// removes the leftovers of dead servers.
    ///
    /// # Errors
    /// The directory cannot be created, opened, or written to; the error names the failed step.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;
}

/// A directory that files are received into. Names are single components, checked by the caller.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Checks whether files can be linked here with `existing`, as it was found when the directory was opened.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if the file system cannot; the error names an alternative.
    fn supports(&self, existing: Existing) -> io::Result<()> {
        let _ = existing;
        Ok(())
    }

    /// Returns whether a file of any kind has this name; a symbolic link is not followed.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Returns the bytes that are free for an unprivileged user (`statvfs(3)`: `f_bavail`).
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if the file system does not report it.
    fn free_space(&self) -> io::Result<u64>;

    /// Creates a file without a name (`O_TMPFILE`), or with a temporary name where that is not supported. The file is
    /// removed unless it is linked. Its mode is 0640 minus the umask.
    ///
    /// # Errors
    /// Out of descriptors or inodes, or permission denied.
    fn create(&self) -> io::Result<Box<dyn Draft>>;

    /// Removes the name of a file that was linked but cannot be made durable.
    ///
    /// # Errors
    /// The name does not exist any more, or the directory cannot be written to.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in the directory durable (`fsync(2)` on the directory).
    ///
    /// # Errors
    /// The names may not survive a crash.
    fn sync(&self) -> io::Result<()>;
}

/// A file that has no final name yet. Dropping it discards the file, which may block for a large one.
pub trait Draft: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// The disk is full, a quota or limit is reached, or the device failed.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Whether [`write_pipe`](Self::write_pipe) is cheaper than reading the bytes and writing them. Asked on the loop's thread.
    fn takes_pipes(&self) -> bool {
        false
    }

    /// Appends all bytes in `pipe`, and leaves it empty.
    ///
    /// # Errors
    /// As [`write_all`](Self::write_all). Bytes that were not appended may be left in the pipe.
    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        pipe.copy_to(|bytes| self.write_all(bytes))
    }

    /// Makes the contents durable (`fsync(2)`).
    ///
    /// # Errors
    /// The contents may be lost, even if a second call succeeds.
    fn sync(&mut self) -> io::Result<()>;

    /// Links the file under its name, atomically.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if the name exists and `existing` is [`Existing::Keep`].
    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()>;
}

/// What happens to a file that already has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// The existing file stays, and linking fails.
    Keep,
    /// The existing file is replaced in one step (`rename(2)`).
    Replace,
}
