//! The form of a log line: text, text for systemd-journald, or a JSON object.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::SystemTime;

use humantime::{format_rfc3339_micros, format_rfc3339_seconds};
use log::kv::{self, Key, Value, VisitSource, VisitValue};
use log::{Level, Record};
use rustix::fs::fstat;
use serde::Serialize;

use crate::config::LogFormat;
use crate::log_writer::TARGET;

/// The environment variable in which systemd names the socket of journald that is our stderr (`systemd.exec(5)`).
const JOURNAL: &str = "JOURNAL_STREAM";

/// The form of each line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// The time, the level, the part of the program and the text; further lines of the text are indented.
    Text,
    /// As text, without the time, which journald adds, and with the priority before each line (`sd-daemon(3)`).
    Journal,
    /// A JSON object without a line break in it.
    Json,
}

impl Form {
    /// Returns the form for `format`. `to_file`: the log does not go to stderr.
    pub(super) fn of(format: LogFormat, to_file: bool) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Auto if !to_file && is_journal(std::env::var_os(JOURNAL).as_deref(), io::stderr()) => {
                Self::Journal
            }
            LogFormat::Auto | LogFormat::Text => Self::Text,
        }
    }

    /// Writes a record of now as one line of this form.
    pub(super) fn write(self, to: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
        self.write_at(to, SystemTime::now(), record)
    }

    fn write_at(self, to: &mut impl Write, now: SystemTime, record: &Record<'_>) -> io::Result<()> {
        // `humantime` has no time before 1970.
        let now = now.max(SystemTime::UNIX_EPOCH);
        let (level, target) = (record.level(), record.target());
        match self {
            Self::Text => {
                let time = format_rfc3339_seconds(now);
                writeln!(to, "[{time} {level:<5} {target}] {}", text(record).replace('\n', "\n    "))
            }
            Self::Journal => {
                let priority = priority(level);
                let more = format!("\n<{priority}>    ");
                writeln!(to, "<{priority}>[{target}] {}", text(record).replace('\n', &more))
            }
            Self::Json => json(to, now, record),
        }
    }

    /// Returns the line of a sentence of the log about itself.
    pub(super) fn render(self) -> fn(Level, &str) -> String {
        match self {
            Self::Text => |level, text| Self::Text.line(level, TARGET, text),
            Self::Journal => |level, text| Self::Journal.line(level, TARGET, text),
            Self::Json => |level, text| Self::Json.line(level, TARGET, text),
        }
    }

    /// Returns the line of a text without fields.
    pub(super) fn line(self, level: Level, target: &str, text: &str) -> String {
        let mut line = Vec::new();
        let mut record = Record::builder();
        record.level(level).target(target);
        // Memory takes everything.
        let _ = self.write(&mut line, &record.args(format_args!("{text}")).build());
        String::from_utf8_lossy(&line).into_owned()
    }
}

/// Whether `variable` names the device and the inode of `stderr`. A program that has redirected our stderr leaves the variable
/// as it was.
fn is_journal(variable: Option<&OsStr>, stderr: impl AsFd) -> bool {
    let numbers = variable.and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
    let Some((device, inode)) = numbers else { return false };
    fstat(stderr).is_ok_and(|stat| device == stat.st_dev.to_string() && inode == stat.st_ino.to_string())
}

/// Returns the priority of `syslog(3)`.
const fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// Returns the text of a record, with its fields behind it: ` key=value`.
fn text(record: &Record<'_>) -> String {
    let mut text = record.args().to_string();
    if record.key_values().count() > 0 {
        let _ = record.key_values().visit(&mut Pairs(&mut text));
    }
    text
}

/// Appends fields to a text.
struct Pairs<'a>(&'a mut String);

impl<'kvs> VisitSource<'kvs> for Pairs<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let value = value.to_string();
        let is_plain = |character: char| !character.is_whitespace() && !character.is_control() && character != '"';
        *self.0 += &match value.is_empty() || !value.chars().all(is_plain) {
            true => format!(" {key}={value:?}"),
            false => format!(" {key}={value}"),
        };
        Ok(())
    }
}

/// Writes a record as a JSON object: `ts`, `level`, `target`, `msg`, then its fields.
fn json(to: &mut impl Write, now: SystemTime, record: &Record<'_>) -> io::Result<()> {
    let mut object = Object { line: vec![b'{'], names: Vec::new() };
    object.member("ts", &format_rfc3339_micros(now).to_string())?;
    object.member("level", &record.level().as_str().to_ascii_lowercase())?;
    object.member("target", record.target())?;
    object.member("msg", &record.args().to_string())?;
    record.key_values().visit(&mut object).map_err(io::Error::other)?;
    object.line.extend_from_slice(b"}\n");
    to.write_all(&object.line)
}

/// A JSON object in the making. `serde_json` escapes control characters, so it contains no line break.
struct Object {
    line: Vec<u8>,
    names: Vec<String>,
}

impl Object {
    /// Appends a member. If its name is taken, it gets a `_` at its end: readers disagree about a name that occurs twice (RFC
    /// 8259, 4).
    fn member(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> io::Result<()> {
        let mut name = name.to_owned();
        while self.names.contains(&name) {
            name.push('_');
        }
        if !self.names.is_empty() {
            self.line.push(b',');
        }
        serde_json::to_writer(&mut self.line, &name)?;
        self.line.push(b':');
        serde_json::to_writer(&mut self.line, value)?;
        self.names.push(name);
        Ok(())
    }
}

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let mut json = Json(serde_json::Value::Null);
        value.visit(&mut json)?;
        self.member(key.as_str(), &json.0).map_err(kv::Error::boxed)
    }
}

/// The JSON of a field: a number, a boolean, or a string.
struct Json(serde_json::Value);

impl<'v> VisitValue<'v> for Json {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        self.0 = value.to_string().into();
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.0 = serde_json::Value::Null;
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    /// JSON has no infinity and no NaN: they become `null`.
    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.0 = value.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn written(form: Form, now: SystemTime, level: Level, text: &str, fields: &[(&str, Value<'_>)]) -> String {
        let mut line = Vec::new();
        let mut record = Record::builder();
        record.level(level).target("reactor::bind").key_values(&fields);
        form.write_at(&mut line, now, &record.args(format_args!("{text}")).build()).expect("memory");
        String::from_utf8(line).expect("text")
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_999)
    }

    /// Fields as a plug-in may log them, with what a peer may have sent.
    const FIELDS: &[(&str, &str)] =
        &[("peer", "[::1]:5"), ("name", "a\u{1b}[2J\"\n"), ("reason", "request timeout"), ("empty", "")];

    fn fields() -> Vec<(&'static str, Value<'static>)> {
        FIELDS.iter().map(|(key, value)| (*key, Value::from(*value))).collect()
    }

    #[test]
    fn a_line_has_the_time_the_level_and_the_part_and_more_lines_are_indented() {
        let warned = written(Form::Text, now(), Level::Warn, "a heading:\na row\nanother", &[]);
        assert_eq!(warned, "[2023-11-14T22:13:20Z WARN  reactor::bind] a heading:\n    a row\n    another\n");
    }

    #[test]
    fn a_clock_before_1970_loses_no_line() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        let line = written(Form::Text, early, Level::Error, "x", &[]);
        assert_eq!(line, "[1970-01-01T00:00:00Z ERROR reactor::bind] x\n");
        assert!(
            written(Form::Json, early, Level::Error, "x", &[]).starts_with(r#"{"ts":"1970-01-01T00:00:00.000000Z","#)
        );
    }

    #[test]
    fn fields_follow_the_text_and_cannot_forge_another_field_or_line() {
        let line = written(Form::Text, now(), Level::Info, "closed", &fields());
        let expected = r#"closed peer=[::1]:5 name="a\u{1b}[2J\"\n" reason="request timeout" empty="""#;
        assert_eq!(line, format!("[2023-11-14T22:13:20Z INFO  reactor::bind] {expected}\n"));
    }

    #[test]
    fn journald_gets_a_priority_before_each_line_and_no_time() {
        for (level, priority) in
            [(Level::Error, 3), (Level::Warn, 4), (Level::Info, 6), (Level::Debug, 7), (Level::Trace, 7)]
        {
            let line = written(Form::Journal, now(), level, "one\ntwo", &[]);
            assert_eq!(line, format!("<{priority}>[reactor::bind] one\n<{priority}>    two\n"));
        }
    }

    #[test]
    fn only_a_stderr_that_the_variable_names_is_journalds() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let stat = fstat(&writer).expect("an open pipe");
        let named = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_journal(Some(named.as_ref()), &writer));
        for other in ["", ":", "1:2", &format!("{named}1"), &format!("1{named}")] {
            assert!(!is_journal(Some(other.as_ref()), &writer), "{other}");
        }
        assert!(!is_journal(None, &writer));
        drop(reader);
    }

    #[test]
    fn a_json_line_is_one_object_with_time_level_part_text_and_fields() {
        let fields =
            [("in", Value::from(7_u64)), ("open_s", 0.25.into()), ("all", true.into()), ("peer", "[::1]:5".into())];
        let line = written(Form::Json, now(), Level::Warn, "closed", &fields);
        let members = r#""msg":"closed","in":7,"open_s":0.25,"all":true,"peer":"[::1]:5""#;
        let ts = "2023-11-14T22:13:20.999000Z";
        assert_eq!(line, format!("{{\"ts\":\"{ts}\",\"level\":\"warn\",\"target\":\"reactor::bind\",{members}}}\n"));
    }

    #[test]
    fn whatever_a_text_contains_a_json_line_is_one_object_that_holds_it() {
        let every: String =
            (0..0x300_u32).chain([0x2028, 0x2029, 0xfeff, 0xfffd, 0x1_f600]).filter_map(char::from_u32).collect();
        for text in [&every, "", "\"}\n{\"", "\\", "\r\n", "{}"] {
            let fields = [("field", Value::from(text)), (text, Value::from(1_u64))];
            let line = written(Form::Json, now(), Level::Info, text, &fields);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let object: serde_json::Value = serde_json::from_str(&line).expect("an object");
            assert_eq!((object["msg"].as_str(), object["field"].as_str()), (Some(text), Some(text)));
            assert_eq!(object[text], 1);
        }
    }

    #[test]
    fn fields_of_one_name_or_of_no_number_make_no_invalid_object() {
        let fields =
            [("msg", "mine".into()), ("msg", f64::NAN.into()), ("msg", f64::INFINITY.into()), ("x", 1_u128.into())];
        let line = written(Form::Json, now(), Level::Info, "ours", &fields);
        let end = r#""msg":"ours","msg_":"mine","msg__":null,"msg___":null,"x":"1"}"#;
        assert!(line.ends_with(&format!("{end}\n")), "{line}");
    }
}
