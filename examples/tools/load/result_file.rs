use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::client::failure::{Context as _, Result};

/// The file for the result. It is opened before the run, so that an unwritable path is reported then.
pub(crate) struct ResultFile {
    path: PathBuf,
    file: File,
    /// The run has created it, and nothing has been written to it.
    is_empty_and_ours: bool,
}

impl ResultFile {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let opened = match File::options().write(true).create_new(true).open(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                // It keeps its contents until there is a new result.
                File::options().write(true).create(true).truncate(false).open(path).map(|file| (file, false))
            }
            result => result.map(|file| (file, true)),
        };
        let (file, is_empty_and_ours) = opened.context(path.display())?;
        Ok(Self { path: path.to_owned(), file, is_empty_and_ours })
    }

    pub(crate) fn write(mut self, text: &str) -> Result<()> {
        let metadata = self.file.metadata().context(self.path.display())?;
        if metadata.is_file() {
            self.file.set_len(0).context(self.path.display())?;
        }
        self.is_empty_and_ours = false;
        self.file.write_all(text.as_bytes()).context(self.path.display())
    }
}

impl Drop for ResultFile {
    fn drop(&mut self) {
        if self.is_empty_and_ours {
            // The failure of the run is reported, not this one.
            let _ = fs::remove_file(&self.path);
        }
    }
}
