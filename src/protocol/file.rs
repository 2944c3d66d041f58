//! `file` and `file-sized`: receive files into a directory.
//!
//! - This module: the options of both, and `file`, which takes a name, then bytes until EOF.
//! - `sized`: `file-sized`, which takes any number of files, each with its size before its contents.
//! - `name`: where names and sizes end, and which are accepted.
//! - `upload`: the steps that make a file durable.
//!
//! A job or the driver always owns the upload, never the protocol. So whatever ends a connection, nothing is discarded on
//! the loop's thread.

mod name;
mod saved;
mod sized;
mod upload;

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::name::{Ending, Field, Name};
use self::saved::{Saved, Witness};
use self::upload::{Store, Upload, sink_of};
use super::{
    Admission, Context, Event, OptionError, Peer, ProtocolError, Reply, Service, Setup, SetupError, Step, Stored,
    StreamProtocol, StreamService, Within,
};
use crate::disk::{Directory, Existing};
use crate::units::{Size, Span};

pub use self::sized::FileSized;

/// The options of `file` and `file-sized`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct FileOptions {
    /// The directory for received files; created if it is missing. A relative path starts from the working directory.
    pub directory: PathBuf,
    /// The largest file accepted.
    pub max_size: Size,
    /// What happens to an upload whose name exists.
    pub existing: OnExisting,
    /// The silence that ends a name or a size without a newline; zero: a newline is required.
    pub name_quiet: Span,
    /// Space on the disk that uploads leave free; zero: no limit.
    pub free_space_floor: Size,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            directory: "received".into(),
            max_size: Size::bytes(10 * 1024 * 1024 * 1024),
            existing: OnExisting::Refuse,
            name_quiet: Span::from_millis(50),
            free_space_floor: Size::bytes(0),
        }
    }
}

/// What happens to an upload whose name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OnExisting {
    /// The upload is refused.
    Refuse,
    /// The upload replaces the file, in one step.
    Replace,
    /// The upload is saved under the next free number: `notes (2).txt`.
    Number,
}

impl OnExisting {
    /// Returns what linking the file does about a name that exists.
    const fn of_the_link(self) -> Existing {
        match self {
            Self::Refuse | Self::Number => Existing::Keep,
            Self::Replace => Existing::Replace,
        }
    }
}

impl FileOptions {
    fn check(&self) -> Result<(), Vec<OptionError>> {
        let path = self.directory.as_os_str().as_encoded_bytes();
        let found = if path.is_empty() {
            "an empty string"
        } else if path.contains(&b'\0') {
            "a NUL in it"
        } else {
            return Ok(());
        };
        Err(vec![OptionError::new("directory", format!("expected the path of a directory, found {found}"))])
    }

    /// Opens the directory, and checks that its file system can do what these options need.
    fn open_directory(&self, setup: &Setup<'_>) -> io::Result<Arc<dyn Directory>> {
        let directory = setup.disk.open_directory(&self.directory)?;
        directory.supports(self.existing.of_the_link())?;
        if self.free_space_floor.as_u64() > 0
            && let Err(error) = directory.free_space()
        {
            let what = format!("free_space_floor is set, but {error}: set it to \"0B\", or choose another file system");
            return Err(io::Error::new(error.kind(), what));
        }
        Ok(directory)
    }

    fn open(self, setup: &Setup<'_>) -> Result<Receiver, SetupError> {
        let directory = self
            .open_directory(setup)
            .map_err(|source| SetupError::Directory { path: self.directory.clone(), source })?;
        let store = Store {
            directory,
            existing: self.existing,
            size_max: self.max_size.as_u64(),
            free_space_floor: self.free_space_floor.as_u64(),
        };
        let name_quiet = Some(self.name_quiet.as_std()).filter(|quiet| !quiet.is_zero());
        Ok(Receiver { store: Arc::new(store), name_quiet })
    }
}

/// What the connections of a listener share.
#[derive(Debug, Clone)]
struct Receiver {
    store: Arc<Store>,
    /// The silence that ends a name; `None` if only a newline ends one.
    name_quiet: Option<Duration>,
}

/// The protocol `file`: a name, then bytes until EOF.
#[derive(Debug)]
pub struct File(Receiver);

impl Service for File {
    const NAME: &'static str = "file";
    const ABOUT: &'static str = "Receives one file: its name, then its contents until the client closes.";
    const TRY: &'static str = r"printf 'notes.txt\nhello' | nc -N 127.0.0.1 8008";
    type Options = FileOptions;

    fn check(options: &FileOptions) -> Result<(), Vec<OptionError>> {
        options.check()
    }

    fn open(options: FileOptions, setup: &Setup<'_>) -> Result<Self, SetupError> {
        options.open(setup).map(Self)
    }
}

impl StreamService for File {
    const DESCRIPTORS: usize = 1;

    fn connect(&self, _peer: &Peer) -> Admission {
        Ok(Box::new(Connection(self.0.clone())))
    }
}

/// No state of its own: the job or upload that the driver holds is the state.
struct Connection(Receiver);

impl StreamProtocol for Connection {
    fn on_bytes(&mut self, input: &[u8], _cx: &mut Context<'_>) -> Reply {
        match Field::name(input) {
            Some(field) => self.open(&field),
            None => Ok(wait_for_end(self.0.name_quiet)),
        }
    }

    fn on_event(&mut self, event: Event, rest: &[u8], _cx: &mut Context<'_>) -> Reply {
        match event {
            Event::Eof if rest.is_empty() => Ok(Step::finish()),
            Event::Eof if self.0.name_quiet.is_none() => Err(refuse(CUT_SHORT, "the name does not end in a newline")),
            Event::Eof | Event::Quiet => self.open(&Field::paused(rest)),
            Event::NoWorker => Err(no_worker()),
            Event::Timer | Event::Message(_) | Event::Missed(_) | Event::Room | Event::NoRelay | Event::Closing => {
                Ok(Step::wait(Within::Nothing))
            }
        }
    }
}

impl Connection {
    fn open(&self, field: &Field<'_>) -> Reply {
        let (name, ending, store) = (Name::parse(field)?, field.ending, Arc::clone(&self.0.store));
        let work = move || {
            store.admit(&name)?;
            Ok((store.open(name, 0)?, ending))
        };
        Ok(Step::job(work, Self::receive).consuming(field.consumed))
    }

    /// Accepts the name, and asks for the contents.
    fn receive(&mut self, opened: Result<(Upload, Ending), ProtocolError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let (upload, ending) = opened?;
        ending.answer(b"ok", cx.out);
        // One byte more than allowed is enough to know that the file is too large.
        Ok(Step::bulk(upload, self.0.store.size_max.saturating_add(1), Self::save))
    }

    fn save(&mut self, stored: Stored<Upload>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let (store, witness) = (Arc::clone(&self.0.store), Witness::of(cx));
        let work = move || {
            let upload = sink_of(stored)?;
            store.ensure_allowed(upload.size())?;
            let saved = upload.commit()?;
            witness.note(&saved);
            Ok(saved)
        };
        Ok(Step::job(work, Self::confirm))
    }

    fn confirm(&mut self, saved: Result<Saved, ProtocolError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        let Saved { name, size } = saved?;
        cx.out.extend_from_slice(format!("saved {name} {size}\n").as_bytes());
        Ok(Step::finish())
    }
}

const CUT_SHORT: &str = "cut short";

/// Waits for the rest of a name or a size.
fn wait_for_end(quiet: Option<Duration>) -> Step {
    quiet.map_or(Step::wait(Within::Request), |quiet| Step::wait_quiet(Within::Request, quiet))
}

/// The error for the client if no worker takes a job.
fn no_worker() -> ProtocolError {
    refuse("no worker", "the server cannot write files at the moment")
}

/// Creates an error line that ends the connection; `reason` is the name of its counter.
fn refuse(reason: &'static str, what: impl Display) -> ProtocolError {
    ProtocolError::new(reason, format!("error: {what}\n"))
}

#[cfg(test)]
mod tests;
