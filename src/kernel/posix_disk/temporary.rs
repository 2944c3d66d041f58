//! Temporary names: for files that cannot exist without a name until they are linked, and for replacing a file.
//!
//! The owner of such a file holds a lock on it (`flock(2)`), so that a server which starts on the same directory can
//! tell the leftovers of a dead server from the uploads of a running one. On a file system without locks the new server
//! cannot tell, and removes none.

use std::collections::hash_map::RandomState;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, openat, unlinkat};

use super::FILE_MODE;
use crate::attempt::uninterrupted;
use crate::errno::is_missing_locks;
use crate::file_lock::try_lock;

/// No client can request such a name: names that start with a dot are refused.
const PREFIX: &str = ".reactor-";
const SUFFIX: &str = ".tmp";

/// Names tried for one file. A try fails only if another server starts and sweeps in the moment between creating and
/// locking.
const TRIES_MAX: usize = 16;

/// A temporary name; dropping it removes the file of that name.
#[derive(Debug)]
pub(super) struct Temporary {
    /// The directory that the name is in.
    directory: Arc<File>,
    name: String,
}

impl Temporary {
    /// Makes a new unique name, without creating a file.
    pub(super) fn new(directory: &Arc<File>) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = RandomState::new().hash_one((process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        Self { directory: Arc::clone(directory), name: format!("{PREFIX}{number:016x}{SUFFIX}") }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.name
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // The file may have been renamed, or removed with its directory. After other failures the next sweep removes
        // it.
        let _ = unlinkat(&self.directory, self.as_str(), AtFlags::empty());
    }
}

/// Creates a file with a temporary name, locked if `locks`.
pub(super) fn create(directory: &Arc<File>, locks: bool) -> io::Result<(Temporary, File)> {
    for _ in 0..TRIES_MAX {
        let (temporary, file) = open_new(directory)?;
        if !locks || claim(&file)? {
            return Ok((temporary, file));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Creates a file with a temporary name.
pub(super) fn open_new(directory: &Arc<File>) -> io::Result<(Temporary, File)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let temporary = Temporary::new(directory);
    let file = uninterrupted(|| openat(directory, temporary.as_str(), flags, FILE_MODE))?;
    Ok((temporary, file.into()))
}

/// Locks a new file. `false`: another server swept first and took it for a leftover.
pub(super) fn claim(file: &File) -> io::Result<bool> {
    Ok(try_lock(file)? && file.metadata()?.nlink() > 0)
}

/// Removes the temporary files that no server holds.
pub(super) fn sweep(directory: &File) -> io::Result<()> {
    for entry in uninterrupted(|| Dir::read_from(directory))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with(PREFIX)
            && name.ends_with(SUFFIX)
            && let Err(error) = remove_dead(directory, name)
        {
            if is_missing_locks(&error) {
                // Without locks a leftover cannot be distinguished from an upload.
                return Ok(());
            }
            log::warn!("cannot remove the leftover {name}: {error}");
        }
    }
    Ok(())
}

fn remove_dead(directory: &File, name: &str) -> io::Result<()> {
    // A link is not followed, and a FIFO is not waited for.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(uninterrupted(|| openat(directory, name, flags, Mode::empty()))?);
    if file.metadata()?.is_file() && try_lock(&file)? {
        uninterrupted(|| unlinkat(directory, name, AtFlags::empty()))?;
    }
    Ok(())
}
