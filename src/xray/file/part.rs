//! A file that is not complete yet. Its name is random, so that it collides with no other file.
//!
//! Its owner holds a lock on it (`flock(2)`), which tells the file of a running process from the leftover of one that
//! has died.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher as _;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;

use crate::file_lock::try_lock;

const SUFFIX: &str = ".part";
/// Digits of the number in the name.
const DIGITS: usize = 16;
/// Names tried for one file. A try fails only if another process starts and sweeps in the moment between creating and
/// locking.
const TRIES_MAX: usize = 16;

/// A file that is not complete yet. Dropping it removes the file, unless it was renamed.
pub(super) struct Part {
    /// The temporary path.
    path: PathBuf,
    /// Locked, unless the file system has no locks; in that case nothing is swept either.
    file: File,
}

impl Part {
    /// Creates a new file beside `target`.
    ///
    /// # Errors
    /// The directory is missing or cannot be written to.
    pub(super) fn create(target: &Path) -> io::Result<Self> {
        for _ in 0..TRIES_MAX {
            let path = path(target);
            let file = match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                created => created?,
            };
            // Otherwise another process swept first and took the file for a leftover.
            if try_lock(&file).unwrap_or(true) && file.metadata()?.nlink() > 0 {
                return Ok(Self { path, file });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Renames the file to `target` and replaces the file of that name.
    pub(super) fn rename_to(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // The file may have been renamed. A file that cannot be removed is left to the next sweep.
        let _ = fs::remove_file(&self.path);
    }
}

/// Returns the prefix of the names of all parts of `target`.
fn prefix(target: &Path) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(".");
    prefix
}

fn path(target: &Path) -> PathBuf {
    let mut name = prefix(target);
    name.push(format!("{:0DIGITS$x}{SUFFIX}", RandomState::new().hash_one(process::id())));
    target.with_file_name(name)
}

/// Removes the parts of `target` that no running process holds. Failures are logged.
pub(super) fn sweep(target: &Path) {
    let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let prefix = prefix(target);
    // If the directory cannot be read, creating the file reports it.
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if is_part(&entry.file_name(), &prefix)
            && let Err(error) = remove_dead(&entry.path())
        {
            log::warn!("cannot remove the leftover {}: {error}", entry.path().display());
        }
    }
}

fn is_part(name: &OsStr, prefix: &OsStr) -> bool {
    let number = name.as_bytes().strip_prefix(prefix.as_bytes()).and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()));
    number.is_some_and(|number| number.len() == DIGITS && number.iter().all(u8::is_ascii_hexdigit))
}

fn remove_dead(path: &Path) -> io::Result<()> {
    // A link is not followed, and a FIFO is not waited for.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().write(true).custom_flags(flags.bits() as i32).open(path)?;
    if file.metadata()?.is_file() && try_lock(&file)? {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_removes_what_dead_processes_left_and_nothing_else() {
        let directory = std::env::temp_dir().join(format!("reactor-part-{}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let target = directory.join("x.txt");
        let living = Part::create(&target).unwrap();
        let dead = path(&target);
        let others = [
            "x.txt",
            ".x.txt.part",
            ".x.txt.0123.part",
            ".y.txt.0123456789abcdef.part",
            ".x.txt.0123456789abcdeg.part",
        ];
        for path in others.map(|name| directory.join(name)).iter().chain([&dead]) {
            fs::write(path, "").unwrap();
        }
        sweep(&target);
        assert!(!dead.exists() && living.path.exists());
        assert!(others.iter().all(|name| directory.join(name).exists()));
        let path = living.path.clone();
        drop(living);
        assert!(!path.exists());
        fs::remove_dir_all(&directory).unwrap();
    }
}
