//! Runs of the example `check`.

use std::process::{Command, Stdio};

use crate::server::{Server, program};

/// The output and exit code of a run.
pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// Tries demands on a server.
#[track_caller]
pub(crate) fn check(server: &Server, options: &[&str]) -> Report {
    let [protocol, url] = server.spoken();
    run(&[&[protocol, url, "--pid", &server.id().to_string()], options].concat())
}

/// A run with these arguments.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> Report {
    let output = Command::new(program("check")).args(arguments).stdin(Stdio::null()).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
    Report { code: output.status.code().unwrap(), text: String::from_utf8(output.stdout).unwrap() + &errors }
}
