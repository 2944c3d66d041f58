use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a client ends early.
pub(crate) enum Failure {
    /// The reader of our standard output has closed it, as `head -1` does after a line. That is not an error.
    ReaderLeft,
    /// A text for the person at the terminal.
    Because(String),
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub(crate) fn because<T>(text: impl Into<String>) -> Result<T> {
        Err(Self::Because(text.into()))
    }
}

/// Names the action that failed.
pub(crate) trait Context<T> {
    fn context(self, doing: impl Display) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl Display) -> Result<T> {
        self.map_err(|error| Failure::Because(format!("{doing}: {error}")))
    }
}

/// Prints a line for the person at the terminal. `eprintln!` would panic when standard error is closed.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Turns the result of a client into its exit code: 0 or 1. clap exits with 2 for wrong usage.
pub(crate) fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) | Err(Failure::ReaderLeft) => ExitCode::SUCCESS,
        Err(Failure::Because(text)) => {
            tell(format_args!("error: {text}"));
            ExitCode::FAILURE
        }
    }
}
