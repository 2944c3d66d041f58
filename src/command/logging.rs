//! The filter of the log: `--log`, or else `RUST_LOG`, or else `info`.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::time::SystemTime;

use env_logger::{Builder, Target};
use humantime::format_rfc3339_seconds;
use log::{LevelFilter, Record};

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

/// Starts to log to `writer` what passes `filter`, unless the program has a logger already.
pub(super) fn start(filter: &str, writer: LogWriter) {
    let mut builder = Builder::new();
    builder.parse_filters(filter).target(Target::Pipe(Box::new(writer)));
    let _ = builder.format(|line, record| write(line, SystemTime::now(), record)).try_init();
}

/// Writes a record as one line; further lines of its text are indented.
fn write(to: &mut impl Write, now: SystemTime, record: &Record<'_>) -> io::Result<()> {
    // `humantime` has no time before 1970.
    let time = format_rfc3339_seconds(now.max(SystemTime::UNIX_EPOCH));
    let text = record.args().to_string().replace('\n', "\n    ");
    writeln!(to, "[{time} {:<5} {}] {text}", record.level(), record.target())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use log::Level;

    use super::*;

    fn written(now: SystemTime, level: Level, text: &str) -> String {
        let mut line = Vec::new();
        let mut record = Record::builder();
        record.level(level).target("reactor::bind");
        write(&mut line, now, &record.args(format_args!("{text}")).build()).expect("memory");
        String::from_utf8(line).expect("text")
    }

    #[test]
    fn a_line_has_the_time_the_level_and_the_part_and_more_lines_are_indented() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_999);
        let warned = written(now, Level::Warn, "a heading:\na row\nanother");
        assert_eq!(warned, "[2023-11-14T22:13:20Z WARN  reactor::bind] a heading:\n    a row\n    another\n");
    }

    #[test]
    fn a_clock_before_1970_loses_no_line() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(written(early, Level::Error, "x"), "[1970-01-01T00:00:00Z ERROR reactor::bind] x\n");
    }

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
