//! Why a directory cannot be made where something else is.

use std::fs;
use std::io;
use std::path::Path;

/// The error of making the directory `path` with its parents. If it is in the way of another thing than a directory, it
/// names that one: the system says *File exists* of a file and of a link that leads nowhere, whichever part of the path it is.
pub(super) fn named(error: io::Error, path: &Path) -> io::Error {
    if !matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory) {
        return error;
    }
    let what = |part: &Path| {
        let there = fs::symlink_metadata(part).ok()?;
        match fs::metadata(part) {
            Ok(meant) if meant.is_dir() => None,
            Err(_) if there.is_symlink() => Some("a link to something that does not exist"),
            Ok(meant) if meant.is_file() => Some("a file"),
            _ => Some("no directory"),
        }
    };
    let obstacle = path.ancestors().find_map(|part| Some((part, what(part)?)));
    match obstacle {
        Some((part, what)) if part == path => {
            io::Error::new(error.kind(), format!("expected a directory or nothing there, found {what}"))
        }
        Some((part, what)) => {
            let part = part.display();
            io::Error::new(error.kind(), format!("expected a directory or nothing at {part}, found {what}"))
        }
        None => error,
    }
}
