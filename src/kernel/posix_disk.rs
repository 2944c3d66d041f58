//! The disk of this machine, through descriptors: once a directory is open, no path leads anywhere else.

mod create;
mod probe;
mod temporary;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstatvfs, linkat, openat, renameat, statat, unlinkat};

use self::temporary::Temporary;
use crate::attempt::uninterrupted;
use crate::disk::{Directory, Disk, Draft, Existing};
use crate::errno::Code;
use crate::file_lock::try_lock;

/// The flag that opens a file without a name (`open(2)`), on systems that have it.
#[cfg(target_os = "linux")]
const UNNAMED: Option<OFlags> = Some(OFlags::TMPFILE);
#[cfg(not(target_os = "linux"))]
const UNNAMED: Option<OFlags> = None;

/// 0640: nobody but the owner writes, nobody else reads.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP);

/// The disk of this machine.
///
/// A new file has no name until it is linked where the system and the file system allow that (Linux: `O_TMPFILE`), and
/// a temporary one elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct PosixDisk {
    unnamed: Option<OFlags>,
}

impl PosixDisk {
    /// Files have no name until they are linked, where that is possible.
    #[must_use]
    pub const fn new() -> Self {
        Self { unnamed: UNNAMED }
    }

    /// Files always have a temporary name, which needs nothing but POSIX.
    #[must_use]
    pub const fn portable() -> Self {
        Self { unnamed: None }
    }
}

impl Default for PosixDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk for PosixDisk {
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        create::durably(path)?;
        let handle = OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits() as i32).open(path);
        let handle = handle.map_err(|error| failed("it cannot be opened", &error))?;
        let mut directory =
            PosixDirectory { handle: Arc::new(handle), unnamed: self.unnamed, unlocked: None, naming: Naming::Link };
        temporary::sweep(&directory.handle).map_err(|error| failed("its names cannot be read", &error))?;
        match directory.probe() {
            // A full disk may be emptied while the server runs.
            Err(error) if !is_full(&error) => return Err(error),
            _ => {}
        }
        if let Some(code) = directory.unlocked {
            log::warn!(
                "{}: its file system has no locks ({code}), so what a dead server left there is not removed: remove \
                 .reactor-*.tmp while no server runs",
                path.display()
            );
        }
        Ok(Arc::new(directory))
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// The same error, and which step it is of.
fn failed(step: impl Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step}: {error}"))
}

/// A directory, and what its file system can do.
#[derive(Debug)]
struct PosixDirectory {
    handle: Arc<File>,
    unnamed: Option<OFlags>,
    /// There are no locks, for this reason.
    unlocked: Option<Code>,
    naming: Naming,
}

/// How a file gets a name that nothing may have.
#[derive(Debug, Clone, Copy)]
enum Naming {
    /// It gets one more (`linkat(2)`).
    Link,
    /// Its temporary one is changed, unless something has the new one (`renameat2(2)`: `RENAME_NOREPLACE`).
    Rename,
    /// Not at all: that is what linking says, and there is no such renaming.
    None(Code),
}

impl PosixDirectory {
    /// A file without a name. Where the directory has been removed, some file systems open one nevertheless and others
    /// answer EPERM; so that is found out first.
    fn create_unnamed(&self, flag: OFlags) -> io::Result<File> {
        if self.handle.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = flag | OFlags::WRONLY | OFlags::CLOEXEC;
        uninterrupted(|| openat(&self.handle, ".", flags, FILE_MODE)).map(File::from)
    }
}

impl Directory for PosixDirectory {
    fn supports(&self, existing: Existing) -> io::Result<()> {
        match (existing, self.naming) {
            (Existing::Keep, Naming::None(code)) => {
                let what = format!(
                    "its file system has no hard links ({code}) and no other way to leave alone what has a name: set \
                     \"existing\" to \"replace\", or choose a directory on another file system"
                );
                Err(io::Error::new(io::ErrorKind::Unsupported, what))
            }
            _ => Ok(()),
        }
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        match uninterrupted(|| statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn free_space(&self) -> io::Result<u64> {
        let stat = uninterrupted(|| fstatvfs(&self.handle))?;
        // Without a size of its own (ramfs, some of FUSE) nothing is free, and nothing is full.
        if stat.f_blocks == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the file system does not tell its size"));
        }
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let directory = Arc::clone(&self.handle);
        let (temporary, file) = if let Some(flag) = self.unnamed {
            let file = self.create_unnamed(flag)?;
            // Locked before it gets any name, so that no sweep can mistake it for a left-over.
            if self.unlocked.is_none() && !try_lock(&file)? {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            (None, file)
        } else {
            let (temporary, file) = temporary::create(&directory, self.unlocked.is_none())?;
            (Some(temporary), file)
        };
        Ok(Box::new(PosixDraft { temporary, file, directory, naming: self.naming }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        uninterrupted(|| unlinkat(&self.handle, name, AtFlags::empty()))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

struct PosixDraft {
    /// The name that the file has until it is linked, if it cannot be without; declared first, so that it is removed
    /// while the lock is still held.
    temporary: Option<Temporary>,
    /// Locked where there are locks; elsewhere nothing is swept.
    file: File,
    directory: Arc<File>,
    naming: Naming,
}

impl Draft for PosixDraft {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn link(&mut self, name: &str, existing: Existing) -> io::Result<()> {
        match existing {
            Existing::Keep => self.link_new(name)?,
            Existing::Replace => {
                if self.temporary.is_none() {
                    let temporary = Temporary::new(&self.directory);
                    self.link_new(temporary.as_str())?;
                    self.temporary = Some(temporary);
                }
                if let Some(temporary) = &self.temporary {
                    uninterrupted(|| renameat(&self.directory, temporary.as_str(), &self.directory, name))?;
                }
            }
        }
        self.temporary = None;
        Ok(())
    }
}

impl PosixDraft {
    /// A name for the file, which nothing may have yet. The way through `/proc` needs no privilege (`open(2)`: `O_TMPFILE`).
    fn link_new(&self, name: &str) -> io::Result<()> {
        let directory = &self.directory;
        if let Some(temporary) = &self.temporary {
            return match self.naming {
                Naming::Link => link_further(directory, temporary.as_str(), name),
                Naming::Rename => rename_new(directory, temporary.as_str(), name),
                Naming::None(code) => Err(code.into()),
            };
        }
        let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        uninterrupted(|| linkat(CWD, &*descriptor, directory, name, AtFlags::SYMLINK_FOLLOW))
    }
}

/// Adds one more name to a file, if nothing has it.
fn link_further(directory: &File, from: &str, to: &str) -> io::Result<()> {
    uninterrupted(|| linkat(directory, from, directory, to, AtFlags::empty()))
}

/// Changes the name of a file, if nothing has the new one.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(directory: &File, from: &str, to: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    uninterrupted(|| renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE))
}

/// The BSDs have no such call.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &File, _: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
