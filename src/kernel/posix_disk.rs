//! The disk of this machine, through descriptors: once a directory is open, every name is relative to it.

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
use crate::disk::{Directory, Disk, Draft, Existing, Pipe};
use crate::errno::Code;
use crate::file_lock::try_lock;

/// The flag that opens a file without a name (`open(2)`), on systems that have it.
#[cfg(target_os = "linux")]
const UNNAMED: Option<OFlags> = Some(OFlags::TMPFILE);
#[cfg(not(target_os = "linux"))]
const UNNAMED: Option<OFlags> = None;

/// 0640: the owner reads and writes, the group reads.
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP);

/// The disk of this machine.
///
/// Until a new file is linked it has no name where the system and the file system allow that (Linux: `O_TMPFILE`), and
/// a temporary name elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct PosixDisk {
    /// The flag that creates a file without a name, if it is used.
    unnamed: Option<OFlags>,
}

impl PosixDisk {
    /// Makes a disk whose files have no name until they are linked, where that is possible.
    #[must_use]
    pub const fn new() -> Self {
        Self { unnamed: UNNAMED }
    }

    /// Makes a disk whose files always have a temporary name, which needs only POSIX.
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
            // A full disk may get free space while the server runs.
            Err(error) if !is_full(&error) => return Err(error),
            _ => {}
        }
        if let Some(code) = directory.unlocked {
            log::warn!(
                "{}: its file system has no locks ({code}), so leftover files of a dead server are not removed: remove \
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

/// Returns the same error with the step that failed.
fn failed(step: impl Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{step}: {error}"))
}

/// A directory, and the abilities of its file system.
#[derive(Debug)]
struct PosixDirectory {
    /// The descriptor of the directory.
    handle: Arc<File>,
    /// The flag that creates a file without a name, if the file system supports it.
    unnamed: Option<OFlags>,
    /// The errno of locking, if the file system has no locks.
    unlocked: Option<Code>,
    /// How a new file gets its name.
    naming: Naming,
}

/// How a file gets a name that must not exist yet.
#[derive(Debug, Clone, Copy)]
enum Naming {
    /// A hard link adds the name (`linkat(2)`).
    Link,
    /// The temporary name is changed, unless the new one exists (`renameat2(2)`: `RENAME_NOREPLACE`).
    Rename,
    /// Impossible: linking failed with this errno, and `RENAME_NOREPLACE` is not supported.
    None(Code),
}

impl PosixDirectory {
    /// Creates a file without a name. If the directory was removed, some file systems open the file nevertheless and
    /// others return EPERM; so this is checked first.
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
        // A file system without a size (ramfs, some FUSE) reports no free space but is never full.
        if stat.f_blocks == 0 {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the file system does not report its size"));
        }
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let directory = Arc::clone(&self.handle);
        let (temporary, file) = if let Some(flag) = self.unnamed {
            let file = self.create_unnamed(flag)?;
            // Locked before it gets any name, so that no sweep can mistake it for a leftover.
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

/// A file that has no final name yet.
struct PosixDraft {
    /// The name of the file until it is linked, if it needs one; declared first, so that it is removed while the lock
    /// is held.
    temporary: Option<Temporary>,
    /// Locked if the file system has locks; otherwise nothing is swept.
    file: File,
    /// The directory in which the file gets its name.
    directory: Arc<File>,
    /// How the file gets its name.
    naming: Naming,
}

impl Draft for PosixDraft {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn takes_pipes(&self) -> bool {
        true
    }

    fn write_pipe(&mut self, pipe: &mut Pipe) -> io::Result<()> {
        pipe.move_to(&self.file)
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
    /// Links the file under a name that must not exist yet. Linking through `/proc` needs no privilege (`open(2)`:
    /// `O_TMPFILE`).
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

/// Adds a name to a file, if the name is free.
fn link_further(directory: &File, from: &str, to: &str) -> io::Result<()> {
    uninterrupted(|| linkat(directory, from, directory, to, AtFlags::empty()))
}

/// Renames a file, if the new name is free.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_new(directory: &File, from: &str, to: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    uninterrupted(|| renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE))
}

/// Always fails: the BSDs have no such call.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_new(_: &File, _: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests;
