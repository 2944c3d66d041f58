//! The arguments of the command line, and the help.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use log::LevelFilter;

use super::logging::LEVELS;
use super::program::Identity;
use super::xray::Target;
use crate::config::LogFormat;

const MORE: &str = "--help also explains signals, exit codes and environment variables.";

const MUCH_MORE: &str = "\
Signals of a running server:
  SIGTERM, SIGINT  stop gracefully: the server finishes requests that have begun; a second signal stops it at once
  SIGUSR1          log the counters, and what each connection is waiting for
  SIGHUP           read the configuration file again; if stderr is a terminal, stop gracefully

Exit codes:
   0  done, or stopped gracefully
   1  a failure while running, or stopped at once by a second signal
   2  wrong usage, including a bad --listen or RUST_LOG
  65  the configuration is wrong, or the passed sockets do not match it
  66  the configuration file cannot be read, or is not a regular file
  69  an address cannot be bound
  73  a directory cannot be used, or the log file cannot be opened

Environment:
  RUST_LOG  what is logged, without --log: a level, PART=LEVEL for a part of the program, or a list of these
            with commas, such as warn,reactor::connection=debug
  NOTIFY_SOCKET, WATCHDOG_USEC, LISTEN_FDS
            set by a service manager such as systemd, to be notified, and to pass sockets to listeners with fd:NAME
  NO_COLOR  if set and not empty, help and errors have no colour or emphasis on a terminal

Documentation, in the source:
  docs/configuration.md describes all of this and every member of a configuration; docs/README.md is a book that begins
  with what a socket is";

/// A server for TCP and UDP: one event loop, protocols as plug-ins.
#[derive(Debug, Parser)]
#[command(
    name = env!("CARGO_CRATE_NAME"), version, args_conflicts_with_subcommands = true,
    after_help = MORE, after_long_help = MUCH_MORE
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
    #[command(flatten)]
    pub(super) run: Run,
}

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// Start the server; the default without a subcommand
    #[command(after_help = MORE, after_long_help = MUCH_MORE)]
    Run(Run),
    /// Validate the configuration, and print it with all defaults; bind and create nothing
    Check(Source),
    /// Print the embedded default configuration, a good starting point for your own
    Init,
    /// List the protocols: options, defaults, and a command line to try each
    Protocols,
    /// Print the JSON Schema of the configuration
    Schema,
}

/// Where the configuration comes from.
#[derive(Debug, Clone, Args)]
pub(super) struct Source {
    /// The configuration file; without -c and --listen the embedded configuration is used
    #[arg(short, long = "config", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Add a listener with the default options of PROTOCOL; may be repeated
    #[arg(long, value_name = "PROTOCOL=URL")]
    pub(super) listen: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    pub(super) source: Source,
    /// Log this level and more severe ones; default: RUST_LOG, or else info
    #[arg(long, value_name = "LEVEL", ignore_case = true, value_parser = level())]
    pub(super) log: Option<LevelFilter>,
    /// The form of the log; default: log.format of the configuration, or else auto
    #[arg(long, value_name = "FORMAT", value_parser = format())]
    pub(super) log_format: Option<LogFormat>,
    /// Record what the loop does, and write the recording to FILE when the server stops and on SIGUSR1. The ending of FILE
    /// chooses the form: .txt is text, .json is for Perfetto, .html is a page. With -, text goes to stderr as things happen
    #[arg(long, value_name = "FILE")]
    pub(super) xray: Option<Target>,
    /// Stop the loop after each turn, show the turn on stderr, and go on when Enter is pressed. For teaching: clients are not
    /// served while the loop is stopped. At the end of stdin, and at SIGTERM or SIGINT, the loop runs on
    #[arg(long)]
    pub(super) step: bool,
}

fn level() -> impl clap::builder::TypedValueParser<Value = LevelFilter> {
    PossibleValuesParser::new(LEVELS).try_map(|level| level.parse::<LevelFilter>())
}

fn format() -> impl clap::builder::TypedValueParser<Value = LogFormat> {
    PossibleValuesParser::new(LogFormat::NAMES).try_map(|name| name.parse::<LogFormat>())
}

/// Parses `line`, whose first argument is the file that was started. `identity` is the name and version of the command.
///
/// # Errors
/// The text to print instead: an error in the arguments, or the help or version that they ask for.
pub(super) fn parse(line: Vec<OsString>, identity: &Identity) -> Result<Arguments, clap::Error> {
    let Identity { name, version, about } = identity;
    let mut command = Arguments::command().name(name).bin_name(name).version(version);
    if let Some(about) = about {
        command = command.about(about).long_about(None);
    }
    let matches = command.try_get_matches_from_mut(line).map_err(|error| with_hint(error, name))?;
    Arguments::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// Adds a hint to the error if the wrong argument is a file without `-c`.
fn with_hint(mut error: clap::Error, program: &str) -> clap::Error {
    let kind = match error.kind() {
        ErrorKind::InvalidSubcommand => ContextKind::InvalidSubcommand,
        ErrorKind::UnknownArgument => ContextKind::InvalidArg,
        _ => return error,
    };
    let Some(ContextValue::String(wrong)) = error.get(kind) else { return error };
    if !wrong.starts_with('-') && (wrong.contains(['.', '/']) || Path::new(wrong).exists()) {
        let hint = format!("-c names a configuration file: {program} -c {wrong}");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::program::Program;
    use super::*;

    fn parsed_as(program: Option<&Program>, line: &[&str]) -> Result<Arguments, String> {
        let identity = Identity::of(program, line.first().map(OsStr::new));
        parse(line.iter().map(OsString::from).collect(), &identity).map_err(|error| error.to_string())
    }

    fn parsed(line: &[&str]) -> Result<Arguments, String> {
        parsed_as(None, line)
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_program_without_a_name_has_the_name_of_its_file() {
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(parsed(&["/bin/reactor", "--version"]).unwrap_err(), format!("reactor {version}\n"));
        assert_eq!(parsed(&["/bin/reverse", "--version"]).unwrap_err(), format!("reverse (reactor) {version}\n"));
        assert!(parsed(&["/bin/reverse", "--help"]).unwrap_err().contains("Usage: reverse "));
    }

    #[test]
    fn a_program_has_its_own_name_version_and_sentence() {
        let program = Program::new("my-server", "7.8.9").about("Does what it does.");
        let told = |argument| parsed_as(Some(&program), &["/bin/renamed", argument]).unwrap_err();
        assert_eq!(told("--version"), "my-server 7.8.9\n");
        for help in [told("--help"), told("-h")] {
            assert!(help.starts_with("Does what it does.\n\nUsage: my-server "), "{help}");
        }
        assert!(told("my.json").contains("my-server -c my.json\n"));
        let check = parsed_as(Some(&program), &["/bin/renamed", "check", "--help"]).unwrap_err();
        assert!(check.contains("Usage: my-server check "), "{check}");
    }

    #[test]
    fn a_file_without_its_option_is_answered_with_the_option() {
        for line in [&["reactor", "my.json"][..], &["reactor", "run", "my.json"], &["reactor", "check", "my.json"]] {
            let told = parsed(line).unwrap_err();
            assert!(told.contains("tip: -c names a configuration file: reactor -c my.json\n"), "{told}");
        }
        assert!(!parsed(&["reactor", "chekc"]).unwrap_err().contains("-c names"));
    }

    /// Returns the rows of the tables of `docs/configuration.md` that begin with `begin`.
    fn rows(begin: &str) -> Vec<(&'static str, &'static str)> {
        let document = include_str!("../../docs/configuration.md");
        let rows = document.lines().filter(|line| line.starts_with(begin));
        rows.map(|row| row.trim_start_matches("| ").split_once(" | ").unwrap()).collect()
    }

    #[test]
    fn the_help_names_every_exit_code_and_signal_of_the_documentation() {
        let codes: Vec<_> = (0..10).flat_map(|digit| rows(&format!("| {digit}"))).collect();
        assert_eq!(codes.len(), 7);
        for (code, meaning) in codes {
            let line = format!("{code:>4}  {}", meaning.trim_end_matches(" |").replace('`', ""));
            assert!(MUCH_MORE.contains(&line), "{line}");
        }
        let signals = rows("| SIG");
        assert_eq!(signals.len(), 3);
        assert!(signals.iter().all(|(signal, _)| MUCH_MORE.contains(&format!("\n  {signal} "))), "{signals:?}");
    }
}
