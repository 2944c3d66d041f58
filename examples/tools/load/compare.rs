//! `load compare`: two results beside each other.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser;
use serde_json::{Map, Value};

use crate::client::failure::{Context as _, Failure, Result};
use crate::client::output::Output;

/// The longest result: one has some kilobytes.
const RESULT_BYTES_MAX: u64 = 1024 * 1024;

/// The members of a result that are not settings.
const MEASURED: [&str; 17] = [
    "seconds",
    "requests",
    "rate",
    "latency_us",
    "errors",
    "first_error",
    "reconnects",
    "unsent",
    "client_busy",
    "interrupted",
    "notes",
    "bytes",
    "bytes_per_second",
    "lines",
    "missed",
    "harm",
    "targets",
];

/// Returns a figure as text, with its unit.
type Print = fn(f64) -> String;

/// The figures that are compared: what they are called, where they are, and how they are printed.
const FIGURES: [(&str, &str, Print); 7] = [
    ("rate", "/rate", |rate| format!("{rate:.0}/s")),
    ("p50", "/latency_us/p50", microseconds),
    ("p99", "/latency_us/p99", microseconds),
    ("p999", "/latency_us/p999", microseconds),
    ("max", "/latency_us/max", microseconds),
    ("errors", "/errors/total", |count| format!("{count:.0}")),
    ("client CPU", "/client_busy", |share| format!("{:.0} %", 100.0 * share)),
];

fn microseconds(latency: f64) -> String {
    let span = Duration::try_from_secs_f64(latency.max(0.0) / 1e6);
    span.map_or_else(|_| "-".to_owned(), |span| format!("{span:.1?}"))
}

/// Compares two results that load has written with --json: the ratio of each figure, and the settings that differ.
///
/// It does not judge: two runs of the same server differ, too. Exit code: 0; 1 when a file is not a result, or when the results
/// are of different protocols; 2 for wrong usage.
#[derive(Parser)]
#[command(name = "compare")]
pub(crate) struct Compare {
    /// A result
    #[arg(value_name = "A.json")]
    a: PathBuf,

    /// The result to compare with it: its figures are divided by those of A
    #[arg(value_name = "B.json")]
    b: PathBuf,
}

pub(crate) fn run(compare: &Compare) -> Result<()> {
    let output = Output::open()?;
    let (a, b) = (read(&compare.a)?, read(&compare.b)?);
    let (of_a, of_b) = (text(&a, "protocol"), text(&b, "protocol"));
    if of_a != of_b {
        return Failure::because(format!(
            "different protocols cannot be compared: {} is of {of_a}, {} of {of_b}",
            compare.a.display(),
            compare.b.display()
        ));
    }
    let mut told = String::new();
    for (name, path, result) in [("A", &compare.a, &a), ("B", &compare.b, &b)] {
        let interrupted = if result.get("interrupted") == Some(&Value::Bool(true)) { ", ended early" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(told, "{name}           {}: {of_a} {}{interrupted}", path.display(), text(result, "url"));
    }
    let _ = writeln!(told, "settings    {}", differences(&a, &b));
    let _ = writeln!(told, "{:<11} {:>12} {:>12} {:>8}", "", "A", "B", "B/A");
    let (a, b) = (Value::Object(a), Value::Object(b));
    for (name, pointer, print) in FIGURES {
        let [of_a, of_b] = [&a, &b].map(|result| result.pointer(pointer).and_then(Value::as_f64));
        let shown = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), print);
        let _ = writeln!(told, "{name:<11} {:>12} {:>12} {:>8}", shown(of_a), shown(of_b), ratio(of_a, of_b));
    }
    output.write(told.as_bytes())
}

fn read(path: &Path) -> Result<Map<String, Value>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(RESULT_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.context(path.display())?;
    let problem = match serde_json::from_slice(&bytes) {
        _ if bytes.len() as u64 > RESULT_BYTES_MAX => "it is too long".to_owned(),
        Ok(Value::Object(result)) if result.contains_key("knee") => "it is one of load find".to_owned(),
        Ok(Value::Object(result)) => {
            match ["protocol", "latency_us"].iter().find(|name| !result.contains_key(**name)) {
                Some(missing) => format!("{missing:?} is missing"),
                None => return Ok(result),
            }
        }
        Ok(_) => "it is not an object".to_owned(),
        Err(error) => error.to_string(),
    };
    Failure::because(format!("{} is not a result of load: {problem}", path.display()))
}

/// Returns the text of a member.
fn text<'a>(result: &'a Map<String, Value>, name: &str) -> &'a str {
    result.get(name).and_then(Value::as_str).unwrap_or("-")
}

/// Returns the settings that differ, each with both values.
fn differences(a: &Map<String, Value>, b: &Map<String, Value>) -> String {
    let names: BTreeSet<_> = a.keys().chain(b.keys()).filter(|name| !MEASURED.contains(&name.as_str())).collect();
    let differ = names.into_iter().filter(|name| a.get(*name) != b.get(*name));
    let shown = |value: Option<&Value>| value.map_or_else(|| "unknown".to_owned(), Value::to_string);
    let texts: Vec<_> =
        differ.map(|name| format!("{name} {} and {}", shown(a.get(name)), shown(b.get(name)))).collect();
    if texts.is_empty() { "the same".into() } else { texts.join(", ") }
}

/// Returns B / A. Zero has a ratio to itself only.
fn ratio(a: Option<f64>, b: Option<f64>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a == b => "1.00".into(),
        (Some(a), Some(b)) if a > 0.0 => format!("{:.2}", b / a),
        _ => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_needs_two_figures_and_no_division_by_zero() {
        for (a, b, told) in [
            (Some(200.0), Some(100.0), "0.50"),
            (Some(3.0), Some(4.0), "1.33"),
            (Some(0.0), Some(0.0), "1.00"),
            (Some(0.0), Some(5.0), "-"),
            (None, Some(5.0), "-"),
            (Some(5.0), None, "-"),
        ] {
            assert_eq!(ratio(a, b), told, "{a:?} {b:?}");
        }
    }

    #[test]
    fn settings_that_differ_are_named_with_both_values() {
        let object = |text: &str| serde_json::from_str::<Map<String, Value>>(text).unwrap_or_default();
        let a = object(r#"{ "connections": 50, "pipeline": 1, "rate": 5, "seconds": 1, "asked_rate": null }"#);
        let b =
            object(r#"{ "connections": 5, "pipeline": 1, "rate": 6, "seconds": 2, "asked_rate": null, "seed": 7 }"#);
        assert_eq!(differences(&a, &b), "connections 50 and 5, seed unknown and 7");
        assert_eq!(differences(&a, &a), "the same");
    }
}
