//! The disk of this machine, through descriptors: once a directory is open, no path leads anywhere else.

mod temporary;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::sys::statvfs::fstatvfs;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use self::temporary::Temporary;
use super::disk::{Directory, Disk, Draft, Existing};

/// The flag that opens a file without a name (`open(2)`), on systems that have it.
#[cfg(target_os = "linux")]
const UNNAMED: Option<OFlag> = Some(OFlag::O_TMPFILE);
#[cfg(not(target_os = "linux"))]
const UNNAMED: Option<OFlag> = None;

/// 0640: nobody but the owner writes, nobody else reads.
const FILE_MODE: Mode = Mode::S_IRUSR.union(Mode::S_IWUSR).union(Mode::S_IRGRP);

/// As [`FILE_MODE`], with the right to look inside.
const DIRECTORY_MODE: u32 = 0o750;

/// The disk of this machine.
///
/// A new file has no name until it is linked where the system and the file system allow that (Linux: `O_TMPFILE`), and
/// a temporary one elsewhere.
#[derive(Debug, Clone, Copy)]
pub struct PosixDisk {
    unnamed: Option<OFlag>,
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
        create_durably(path)?;
        let handle = OpenOptions::new().read(true).custom_flags(OFlag::O_DIRECTORY.bits()).open(path)?;
        let mut directory = PosixDirectory { handle: Arc::new(handle), unnamed: self.unnamed };
        temporary::sweep(&directory.handle)?;
        let probed = directory.probe().or_else(|error| match directory.unnamed.take() {
            Some(_) => directory.probe(),
            None => Err(error),
        });
        match probed {
            // A full disk may be emptied while the server runs.
            Err(error) if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                Err(error)
            }
            _ => Ok(Arc::new(directory)),
        }
    }
}

/// Creates the directory with all its parents if it is missing. Its name is made durable with it, or else a loss of
/// power could take every file in it.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing = path.ancestors().take_while(|ancestor| !is_current(ancestor) && !ancestor.is_dir()).count();
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
    for parent in path.ancestors().skip(1).take(missing) {
        File::open(if is_current(parent) { Path::new(".") } else { parent })?.sync_all()?;
    }
    Ok(())
}

fn is_current(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

#[derive(Debug)]
struct PosixDirectory {
    handle: Arc<File>,
    unnamed: Option<OFlag>,
}

impl PosixDirectory {
    /// Does once what each upload will do: one that cannot work is better found before anybody is served.
    fn probe(&self) -> io::Result<()> {
        let name = Temporary::new(&self.handle);
        self.create()?.link(name.as_str(), Existing::Keep)?;
        self.sync()
    }

    /// A file without a name. Where the directory has been removed, some file systems open one nevertheless and others
    /// answer EPERM; so that is found out first.
    fn create_unnamed(&self, flag: OFlag) -> io::Result<File> {
        if self.handle.metadata()?.nlink() == 0 {
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = flag | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        uninterrupted(|| openat(&self.handle, ".", flags, FILE_MODE)).map(File::from)
    }
}

impl Directory for PosixDirectory {
    fn exists(&self, name: &str) -> io::Result<bool> {
        match uninterrupted(|| fstatat(&self.handle, name, AtFlags::AT_SYMLINK_NOFOLLOW)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn free_space(&self) -> io::Result<u64> {
        let stat = uninterrupted(|| fstatvfs(&self.handle))?;
        Ok(bytes(stat.blocks_available(), stat.fragment_size()))
    }

    fn create(&self) -> io::Result<Box<dyn Draft>> {
        let directory = Arc::clone(&self.handle);
        let draft = if let Some(flag) = self.unnamed {
            let file = self.create_unnamed(flag)?;
            // Locked before it gets any name, so that no sweep can mistake it for a left-over.
            let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
            PosixDraft { temporary: None, file, directory }
        } else {
            let (temporary, file) = temporary::create(&directory)?;
            PosixDraft { temporary: Some(temporary), file, directory }
        };
        Ok(Box::new(draft))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        uninterrupted(|| unlinkat(&self.handle, name, UnlinkatFlags::NoRemoveDir))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

struct PosixDraft {
    /// The name that the file has until it is linked, if it cannot be without; declared first, so that it is removed
    /// while the lock is still held.
    temporary: Option<Temporary>,
    file: Flock<File>,
    directory: Arc<File>,
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
    /// A further name for the file, which nothing may have yet. The way through `/proc` needs no privilege (`open(2)`:
    /// `O_TMPFILE`).
    fn link_new(&self, name: &str) -> io::Result<()> {
        let directory = &self.directory;
        if let Some(temporary) = &self.temporary {
            return uninterrupted(|| linkat(directory, temporary.as_str(), directory, name, AtFlags::empty()));
        }
        let descriptor = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        uninterrupted(|| linkat(AT_FDCWD, &*descriptor, directory, name, AtFlags::AT_SYMLINK_FOLLOW))
    }
}

/// Systems differ in the width of these numbers.
fn bytes(blocks: impl Into<u64>, block_bytes: impl Into<u64>) -> u64 {
    blocks.into().saturating_mul(block_bytes.into())
}

/// Repeats a system call for as long as signals interrupt it.
fn uninterrupted<T>(mut call: impl FnMut() -> nix::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}

#[cfg(test)]
mod tests;
