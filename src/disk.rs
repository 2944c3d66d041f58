//! The disk, as far as a server that receives files needs it.
//!
//! Every call may block and belongs on a worker. The traits are as fine as the system calls behind them, so that the
//! order which makes a file durable (write, sync, link, sync the directory) stands in the protocol, and a simulation
//! can fail or crash between any two.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Where directories come from.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens a directory, once; everything later is relative to its descriptor. It is created if it is missing, and
    /// what dead servers left behind in it is swept.
    ///
    /// # Errors
    /// It cannot be created, opened, or written to; says which step failed.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;
}

/// A directory that files are received into. Names are single components, checked by the caller.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Whether files can be linked here with `existing`. It was found out when the directory was opened.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], if the file system has no way to do it; says what to do instead.
    fn supports(&self, existing: Existing) -> io::Result<()> {
        let _ = existing;
        Ok(())
    }

    /// Whether something of any kind has this name; a symbolic link counts as itself.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn exists(&self, name: &str) -> io::Result<bool>;

    /// Bytes that an unprivileged user may still fill (`statvfs(3)`: `f_bavail`).
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`], if the file system does not say.
    fn free_space(&self) -> io::Result<u64>;

    /// A new file without a name (`O_TMPFILE`), or with a temporary one where that does not exist. It vanishes unless
    /// it is linked. Mode 0640 minus the umask.
    ///
    /// # Errors
    /// Descriptors, inodes or permissions lack.
    fn create(&self) -> io::Result<Box<dyn Draft>>;

    /// Takes back the name of a file that was linked but cannot be made durable.
    ///
    /// # Errors
    /// The name is gone already, or the directory cannot be written to.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in the directory durable (`fsync(2)` on the directory).
    ///
    /// # Errors
    /// The names may not survive a crash.
    fn sync(&self) -> io::Result<()>;
}

/// A file that has no name yet. Dropping it discards it, which may block for a large file.
pub trait Draft: Send {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    /// Disk full, quota, limits, or the device failed.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the contents durable (`fsync(2)`).
    ///
    /// # Errors
    /// The contents may be lost; a second try that succeeds proves nothing.
    fn sync(&mut self) -> io::Result<()>;

    /// Gives the file its name, at once and completely.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something has the name and `existing` is [`Existing::Keep`].
    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()>;
}

/// What becomes of a file that already has the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// It stays, and linking fails.
    Keep,
    /// It is replaced in one step (`rename(2)`).
    Replace,
}
