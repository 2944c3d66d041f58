//! The log of the command: what is in it (`--log`, or else `RUST_LOG`, or else `info`), and where it goes.

use std::ffi::OsStr;
use std::io::Write;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter};

use super::log_format::Form;
use crate::config::{ACCESS_LOG, Access, LogConfig};
use crate::json::{alternatives, nearest, quoted};
use crate::log_writer::LogWriter;

/// The environment variable that chooses what is logged.
pub(super) const VARIABLE: &str = "RUST_LOG";

/// The levels, from the fewest lines to the most.
pub(super) const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Returns the filter for env_logger. `program` is the name of the program, whose crate is a part of its own.
///
/// # Errors
/// `variable` is not a level, `PART=LEVEL` for a part of the program, or a list of these with commas. env_logger would take a
/// misspelt level for the name of a part, and log nothing.
pub(super) fn filter(level: Option<LevelFilter>, variable: Option<&OsStr>, program: &str) -> Result<String, String> {
    if let Some(level) = level {
        return Ok(level.to_string());
    }
    let variable = variable.unwrap_or_default();
    let text = variable.to_str().ok_or_else(|| format!("{VARIABLE}: expected UTF-8, found {variable:?}"))?;
    let (directives, pattern) = text.split_once('/').unwrap_or((text, ""));
    if pattern.contains('/') {
        return Err(format!("{VARIABLE}: expected at most one \"/\", found {}", quoted(text)));
    }
    let directives: Vec<_> = directives.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    for directive in &directives {
        check(directive, program)?;
    }
    if directives.is_empty() { Ok(format!("info,{text}")) } else { Ok(text.to_owned()) }
}

fn check(directive: &str, program: &str) -> Result<(), String> {
    // A path such as `reactor::connection`, this crate, or the crate of the program is a part with all levels.
    let crates = [env!("CARGO_CRATE_NAME"), &program.replace('-', "_")];
    let is_part = |name: &str| name.contains("::") || crates.contains(&name);
    let (level, form) = match directive.split_once('=') {
        Some((_, level)) => (level.trim(), ""),
        None if is_part(directive) => return Ok(()),
        None => (directive, ", or PART=LEVEL"),
    };
    if level.parse::<LevelFilter>().is_ok() {
        return Ok(());
    }
    let meant = nearest(level, LEVELS).map(|meant| format!("; did you mean {}?", quoted(meant))).unwrap_or_default();
    Err(format!("{VARIABLE}: expected {}{form}, found {}{meant}", alternatives(&LEVELS), quoted(level)))
}

/// The running log. When dropped, waits until everything logged is written.
pub(super) struct Log {
    writer: LogWriter,
    form: Form,
    to_file: bool,
}

impl Log {
    /// Says why the server does not start, whatever the filter is: in the log, unless that is text on stderr. Returns what is left
    /// to be said there, nothing if stderr is the log.
    pub(super) fn failed(&mut self, message: String) -> String {
        if self.form == Form::Text && !self.to_file {
            return message;
        }
        let line = self.form.line(Level::Error, "reactor::command", &message);
        // The writer takes everything.
        let _ = self.writer.write_all(line.as_bytes());
        if self.to_file { message } else { String::new() }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.writer.drain();
    }
}

/// Starts the log that `config` describes, of what passes `filter`, unless the program has a logger already.
///
/// # Errors
/// The log file cannot be opened.
pub(super) fn start(filter: &str, config: &LogConfig) -> Result<Log, String> {
    let form = Form::of(config.format, config.file.is_some());
    let writer = match &config.file {
        None => LogWriter::to_stderr(form.render()),
        Some(path) => LogWriter::to_file(path, config.file_mode, form.render())
            .map_err(|error| format!("cannot open the log file {}: {error}", quoted(&path.to_string_lossy())))?,
    };
    let mut builder = Builder::new();
    builder.parse_filters(filter).target(Target::Pipe(Box::new(writer.clone())));
    if config.access != Access::Off {
        // The configuration alone decides about these lines, whatever the level is.
        builder.filter_module(ACCESS_LOG, LevelFilter::Info);
    }
    let _ = builder.format(move |line, record| form.write(line, record)).try_init();
    writer.serve_process();
    Ok(Log { writer, form, to_file: config.file.is_some() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variable: &str) -> Result<String, String> {
        filter(None, Some(variable.as_ref()), "my-server")
    }

    #[test]
    fn a_level_on_the_command_line_goes_before_the_environment() {
        assert_eq!(filter(Some(LevelFilter::Warn), Some("nonsense".as_ref()), "x"), Ok("WARN".to_owned()));
        assert_eq!(filter(None, None, "x"), Ok("info,".to_owned()));
    }

    #[test]
    fn what_env_logger_understands_passes() {
        for text in [
            "debug",
            "OFF",
            "info, reactor::connection=trace",
            "reactor",
            "my_server",
            "reactor::reactor::accept",
            "hyper=debug,warn",
            "debug/closed",
        ] {
            assert_eq!(of(text).as_deref(), Ok(text));
        }
        for text in ["", " ", ",", "/closed"] {
            assert_eq!(of(text), Ok(format!("info,{text}")));
        }
    }

    #[test]
    fn what_env_logger_would_take_for_silence_is_an_error_with_the_levels() {
        let levels = r#"expected "off", "error", "warn", "info", "debug" or "trace""#;
        for (text, rest) in [
            ("debgu", r#", or PART=LEVEL, found "debgu"; did you mean "debug"?"#),
            ("verbose", r#", or PART=LEVEL, found "verbose""#),
            ("warning", r#", or PART=LEVEL, found "warning""#),
            ("info,noise", r#", or PART=LEVEL, found "noise""#),
            ("reactor=loud", r#", found "loud""#),
            ("reactor=", r#", found """#),
            ("a=b=info", r#", found "b=info"; did you mean "info"?"#),
        ] {
            assert_eq!(of(text), Err(format!("RUST_LOG: {levels}{rest}")), "{text}");
        }
        assert_eq!(of("info/a/b"), Err("RUST_LOG: expected at most one \"/\", found \"info/a/b\"".to_owned()));
    }
}
