use std::fs;
use std::path::PathBuf;
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::failure::{Context as _, Failure, Result};
use crate::options::Cli;
use crate::sweep::sweep;

/// The files that a run leaves with the server.
pub(crate) struct Files {
    /// The prefix of their names, different for each run.
    pub(crate) prefix: String,
    /// The directory where the server saves them, if known.
    directory: Option<PathBuf>,
}

impl Files {
    /// Fails if the directory cannot be read.
    pub(crate) fn new(cli: &Cli) -> Result<Self> {
        if let Some(directory) = &cli.directory {
            fs::read_dir(directory).context(directory.display())?;
        }
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
        Ok(Self { prefix: format!("load-{}-{time:x}", process::id()), directory: cli.directory.clone() })
    }

    /// Removes the files if the directory is known, and returns a note about them.
    pub(crate) fn clean_up(&self) -> String {
        let Self { prefix, directory } = self;
        let Some(directory) = directory else {
            return format!(
                "the files stay with the server: their names begin with {prefix}, and --directory removes them"
            );
        };
        match sweep(directory, prefix) {
            Ok(count) => format!("{count} files of this run were removed from {}", directory.display()),
            Err(Failure::Because(text)) => format!("warning: files of this run are left: {text}"),
            Err(Failure::ReaderLeft) => String::new(),
        }
    }
}
