//! The name under which the command goes.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use super::run_as;
use crate::registry::Registry;

/// The command of a program with a name and a version of its own. [`command()`](super::command) is the same for a program that has
/// none.
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
    /// The program `name` in its version `version`, as `--version` and `--help` tell them. `RUST_LOG` takes the name for that of a
    /// part of the program, so it should be that of the crate.
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, about: None }
    }

    /// One sentence on what it does, with which `--help` begins.
    pub const fn about(mut self, sentence: &'static str) -> Self {
        self.about = Some(sentence);
        self
    }

    /// Runs the whole command with the protocols of `registry`, and returns when it has ended.
    #[must_use]
    pub fn run(self, registry: Registry) -> ExitCode {
        run_as(Some(&self), &registry)
    }
}

/// What the command says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) about: Option<&'static str>,
}

impl Identity {
    /// That of `program`. Without one, the name is that of the file, which was started as `started_as`; and if that is not ours, the
    /// version is that of this package, with our name in parentheses as the GNU Coding Standards have it.
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
