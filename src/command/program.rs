//! The name and version of the command.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use super::run_as;
use crate::registry::Registry;

/// The command of a program with a name and a version of its own. [`command()`](super::command) is for a program without them.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     reactor::Program::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
///         .about("Serves what this program is for.")
///         .run(reactor::Registry::built_in())
/// }
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Program {
    name: &'static str,
    version: &'static str,
    about: Option<&'static str>,
}

impl Program {
    /// Creates the command of the program `name` in version `version`, as `--version` and `--help` show them. `name` should be the
    /// name of the program's crate, because `RUST_LOG` accepts it as a part of the program.
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, about: None }
    }

    /// Sets the first sentence of `--help`: what the program does.
    pub const fn about(mut self, sentence: &'static str) -> Self {
        self.about = Some(sentence);
        self
    }

    /// Runs the whole command with the protocols of `registry`, and returns its exit code when the command has ended.
    #[must_use]
    pub fn run(self, registry: Registry) -> ExitCode {
        run_as(Some(&self), registry)
    }
}

/// The name, version and description of the command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) about: Option<&'static str>,
}

impl Identity {
    /// Returns the identity of `program`. Without a program the name is the file name in `started_as`; if that is not the name of
    /// this package, the version also names this package, in parentheses as the GNU Coding Standards ask.
    pub(super) fn of(program: Option<&Program>, started_as: Option<&OsStr>) -> Self {
        let (own, version) = (env!("CARGO_CRATE_NAME"), env!("CARGO_PKG_VERSION"));
        if let Some(&Program { name, version, about }) = program {
            return Self { name: name.to_owned(), version: version.to_owned(), about };
        }
        let file = started_as.and_then(|path| Path::new(path).file_name()).and_then(OsStr::to_str);
        let name = file.unwrap_or(own).to_owned();
        let version = if name == own { version.to_owned() } else { format!("({own}) {version}") };
        Self { name, version, about: None }
    }
}
