//! Probes the abilities of a directory and its file system when it is opened.

use std::fs::File;
use std::io;

use rustix::fs::renameat;

use super::temporary::{self, Temporary};
use super::{Directory as _, Existing, Naming, PosixDirectory, failed, is_full, link_further, rename_new};
use crate::attempt::uninterrupted;
use crate::errno::{Code, is_missing_locks};
use crate::file_lock::try_lock;

const ELSEWHERE: &str = "choose a directory on another file system";

impl PosixDirectory {
    /// Does once what each upload will do: a failure is better found before clients are served.
    ///
    /// # Errors
    /// The step that fails.
    pub(super) fn probe(&mut self) -> io::Result<()> {
        if self.probe_unnamed().is_err() {
            self.unnamed = None;
            self.probe_named()?;
        }
        self.sync().map_err(|error| {
            let what = "the names in it cannot be made durable";
            io::Error::new(error.kind(), format!("{what} (fsync of a directory: {error}): {ELSEWHERE}"))
        })
    }

    /// Probes with a file that has no name until it is linked.
    fn probe_unnamed(&mut self) -> io::Result<()> {
        let Some(flag) = self.unnamed else { return Err(io::ErrorKind::Unsupported.into()) };
        let file = self.create_unnamed(flag)?;
        self.probe_lock(&file)?;
        let name = Temporary::new(&self.handle);
        self.create()?.link(name.as_str(), Existing::Keep)
    }

    /// Probes with a file that has a temporary name.
    fn probe_named(&mut self) -> io::Result<()> {
        let (name, file) =
            temporary::open_new(&self.handle).map_err(|error| failed("no file can be created in it", &error))?;
        self.probe_lock(&file)?;
        let next = Temporary::new(&self.handle);
        let (directory, from, to) = (&*self.handle, name.as_str(), next.as_str());
        self.naming = match link_further(directory, from, to) {
            Ok(()) => Naming::Link,
            Err(error) if is_full(&error) => return Err(error),
            Err(_) if rename_new(directory, from, to).is_ok() => Naming::Rename,
            Err(error) => {
                uninterrupted(|| renameat(directory, from, directory, to))
                    .map_err(|error| failed("no file in it can be renamed", &error))?;
                Naming::None(Code::of(&error))
            }
        };
        Ok(())
    }

    /// Probes whether the file system has locks (`flock(2)`).
    fn probe_lock(&mut self, file: &File) -> io::Result<()> {
        self.unlocked = match try_lock(file) {
            // Locks work, even if the sweep of another server holds this one.
            Ok(_) => None,
            Err(error) if is_missing_locks(&error) => Some(Code::of(&error)),
            Err(error) => return Err(failed("no file in it can be locked", &error)),
        };
        Ok(())
    }
}
