//! The `reactor` command with the built-in protocols.

use std::process::ExitCode;

fn main() -> ExitCode {
    reactor::command(reactor::Registry::built_in())
}
