//! Temporary names: for files that cannot be without a name until they are linked, and on the way to replacing one.
//!
//! The owner of such a file holds a lock on it (`flock(2)`) for as long as it lives, so that a server which starts on
//! the same directory can tell the left-overs of a dead one from the uploads of a living one. Where a file system has no
//! locks it cannot tell, and leaves all of them.

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
use crate::errno::lacks_locks;
use crate::file_lock::try_lock;

/// No client can ask for such a name: those that start with a dot are refused.
const PREFIX: &str = ".reactor-";
const SUFFIX: &str = ".tmp";

/// Names tried for one file. Each failure takes a server that starts in the very moment between creating and locking.
const TRIES_MAX: usize = 16;

/// A temporary name, which is removed when it is dropped.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Arc<File>,
    name: String,
}

impl Temporary {
    /// A name that nothing has, without a file yet.
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
        // It may be gone already: renamed, or with its directory. Anything else is left to the next sweep.
        let _ = unlinkat(&self.directory, self.as_str(), AtFlags::empty());
    }
}

/// A new file with a temporary name, locked where there are locks.
pub(super) fn create(directory: &Arc<File>, locks: bool) -> io::Result<(Temporary, File)> {
    for _ in 0..TRIES_MAX {
        let (temporary, file) = open_new(directory)?;
        if !locks || claim(&file)? {
            return Ok((temporary, file));
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// A new file with a temporary name.
pub(super) fn open_new(directory: &Arc<File>) -> io::Result<(Temporary, File)> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
    let temporary = Temporary::new(directory);
    let file = uninterrupted(|| openat(directory, temporary.as_str(), flags, FILE_MODE))?;
    Ok((temporary, file.into()))
}

/// Locks a new file. `false`: a sweep came first and took it for a left-over.
pub(super) fn claim(file: &File) -> io::Result<bool> {
    Ok(try_lock(file)? && file.metadata()?.nlink() > 0)
}

/// Removes the temporary files that nobody holds.
pub(super) fn sweep(directory: &File) -> io::Result<()> {
    for entry in uninterrupted(|| Dir::read_from(directory))? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name.starts_with(PREFIX)
            && name.ends_with(SUFFIX)
            && let Err(error) = remove_dead(directory, name)
        {
            if lacks_locks(&error) {
                // None of them can be told from an upload.
                return Ok(());
            }
            log::warn!("the left-over {name} cannot be removed: {error}");
        }
    }
    Ok(())
}

fn remove_dead(directory: &File, name: &str) -> io::Result<()> {
    // What is not a file of ours is neither followed nor waited for.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(uninterrupted(|| openat(directory, name, flags, Mode::empty()))?);
    if file.metadata()?.is_file() && try_lock(&file)? {
        uninterrupted(|| unlinkat(directory, name, AtFlags::empty()))?;
    }
    Ok(())
}
