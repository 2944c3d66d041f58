//! Whether `load find` finds a knee that is known: a server that is busy for a millisecond with each request.

use std::fs;
use std::process::{Command, Stdio};
use std::slice;

use serde_json::Value;

use super::lab::Lab;
use super::server::Server;
use super::table::{Column, print, repeat};
use crate::failure::{Context as _, Failure, Result};

const TITLE: &str = "load find: the knee of a server that can answer 1000 requests a second";
const COLUMNS: [Column; 2] = [Column::spread("knee, requests/s", 0), Column::plain("steps", 0)];
const KNOWN: f64 = 1000.0;
/// How far a knee may be from the known one, and from the other ones.
const ERROR_MAX: f64 = 0.05;

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let server = Server::start(&lab.peer(&["slow", "sum"]))?;
    let row = repeat(TITLE, lab.rounds, "bare epoll, busy for 1 ms with each", || find(lab, server.url()))?;
    let knees = row.column(0);
    print(TITLE, &COLUMNS, slice::from_ref(&row))?;
    let lowest = knees.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = knees.iter().copied().fold(0.0, f64::max);
    if lowest < KNOWN * (1.0 - ERROR_MAX) || highest > KNOWN * (1.0 + ERROR_MAX) {
        return Failure::because(format!("a knee from {lowest:.0} to {highest:.0} was found, not {KNOWN:.0}"));
    }
    if highest > lowest * (1.0 + ERROR_MAX) {
        return Failure::because(format!("the searches disagree: {lowest:.0} and {highest:.0}"));
    }
    Ok(())
}

/// Searches once. Returns the knee, and the number of steps.
fn find(lab: &Lab, url: &str) -> Result<Vec<f64>> {
    let path = lab.scratch("find.json");
    let output = Command::new("taskset")
        .args(["-c", "1"])
        .arg(&lab.load)
        .args(["find", "sum", url, "--limit", "p99<20ms,errors=0", "--from", "100", "--duration"])
        .arg(humantime::format_duration(lab.span).to_string().replace(' ', ""))
        .arg("--json")
        .arg(&path)
        .stdin(Stdio::null())
        .output()
        .context("cannot start the client")?;
    if !output.status.success() {
        return Failure::because(format!("load find: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = fs::read_to_string(&path).context(path.display())?;
    let json: Value = serde_json::from_str(&text).context(path.display())?;
    let knee = json.pointer("/knee/holds").and_then(Value::as_f64).ok_or("is missing").context("knee")?;
    let steps = json["steps"].as_array().map_or(0, Vec::len);
    Ok(vec![knee, steps as f64])
}
