use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::client::failure::{Context, Result};

/// Removes the files in a directory whose names begin with `prefix`, and returns their number.
pub(crate) fn sweep(directory: &Path, prefix: &str) -> Result<u64> {
    let mut removed = 0;
    for entry in fs::read_dir(directory).context(directory.display())? {
        let entry = entry.context(directory.display())?;
        if !entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Ok(()) => removed += 1,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(entry.path().display()),
        }
    }
    Ok(removed)
}
