//! Creates a missing directory durably: a power loss must not remove it with all its files.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::failed;

/// 0750: as for files, with the right to enter.
const DIRECTORY_MODE: u32 = 0o750;

/// Creates the directory and its missing parents, from the top. Each is made durable before the next is created, and
/// removed if that fails, so that the next start finds the same state.
pub(super) fn durably(path: &Path) -> io::Result<()> {
    let levels: Vec<_> = path.ancestors().filter(|level| !level.as_os_str().is_empty()).collect();
    let missing = levels.iter().position(|level| level.is_dir()).unwrap_or(levels.len());
    // An earlier start may have been killed before it made this directory durable.
    if let Some(Ok(parent)) = levels.get(missing).and_then(|level| parent_of(level)).map(File::open) {
        let _ = parent.sync_all();
    }
    levels[..missing].iter().rev().try_for_each(|level| create(level))
}

fn create(level: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(level) {
        Ok(()) => {}
        // Another server that starts at the same time created it, or the path contains `..`.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && level.is_dir() => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let what =
                if level.is_symlink() { "a link to something other than a directory" } else { "not a directory" };
            return Err(io::Error::new(io::ErrorKind::NotADirectory, format!("{} is {what}", level.display())));
        }
        Err(error) => return Err(failed(format_args!("{} cannot be created", level.display()), &error)),
    }
    sync_name(level).map_err(|error| {
        let _ = fs::remove_dir(level);
        failed(format_args!("the name of {} cannot be made durable", level.display()), &error)
    })
}

/// Makes the name of a new directory durable: `fsync(2)` on its parent. A parent that is writable but not readable
/// cannot be opened for that; the whole file system is then synced, once.
fn sync_name(level: &Path) -> io::Result<()> {
    let Some(parent) = parent_of(level) else { return Ok(()) };
    match File::open(parent) {
        Ok(parent) => parent.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => sync_file_system(level),
        Err(error) => Err(error),
    }
}

/// Returns the directory that contains the name of `level`; `None` for the root.
fn parent_of(level: &Path) -> Option<&Path> {
    level.parent().map(|parent| if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn sync_file_system(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(directory)?)?)
}

/// Syncs all file systems: these systems have no call for one, and report no error.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn sync_file_system(_: &Path) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}
