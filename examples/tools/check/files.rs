//! The saved files of a server, if the checker may read them.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::client::failure::Result;
use crate::miss::{Miss, Verdict, excerpt};
use crate::protocol::RUN;
use crate::sweep::sweep;

/// What the server does with a name that exists.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Existing {
    /// The upload is refused
    Refuse,
    /// The new file takes the place of the old one
    Replace,
    /// The new file gets a number behind its name
    Number,
}

#[derive(Clone)]
pub(crate) struct Files {
    /// The directory, if it is known. Otherwise only the server's answers are judged.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) existing: Existing,
}

impl Files {
    /// Expects this file, byte for byte.
    pub(crate) fn has(&self, name: &str, contents: &[u8]) -> Verdict {
        let Some(directory) = &self.directory else { return Ok(()) };
        let got = match fs::read(directory.join(name)) {
            Ok(bytes) if bytes == contents => return Ok(()),
            Ok(bytes) => format!("in the file: {}", excerpt(&bytes)),
            Err(error) => format!("no file: {error}"),
        };
        Err(Miss::new(format!("a file {name}"), got, excerpt(contents)))
    }

    /// Removes all files of this run, if the directory is known.
    pub(crate) fn remove(&self) -> Result<()> {
        self.directory.as_deref().map_or(Ok(()), |directory| sweep(directory, &RUN).map(drop))
    }

    /// Expects no file of this name.
    pub(crate) fn has_no(&self, name: &str) -> Verdict {
        let Some(directory) = &self.directory else { return Ok(()) };
        let got = match fs::symlink_metadata(directory.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => error.to_string(),
            Ok(found) => format!("a file of {} bytes", found.len()),
        };
        Err(Miss::new(format!("a part of the file {name}"), got, "no file with this name"))
    }
}
