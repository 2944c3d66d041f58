//! The `load` example as a client on core 1, and its results.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::lab::Lab;
use crate::failure::{Context as _, Failure, Result};

/// The result of a run of the client.
pub(crate) struct Found {
    pub(crate) requests: f64,
    pub(crate) rate: f64,
    pub(crate) errors: f64,
    /// How busy the client's thread was, in percent of a core.
    pub(crate) busy: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// Loads `url` for `span` and returns the result.
pub(crate) fn load(lab: &Lab, protocol: &str, url: &str, span: Duration, options: &[&str]) -> Result<Found> {
    let path = lab.scratch("load.json");
    let output = Command::new("taskset")
        .args(["-c", "1"])
        .arg(&lab.load)
        .args([protocol, url, "--duration"])
        .arg(humantime::format_duration(span).to_string().replace(' ', ""))
        .arg("--json")
        .arg(&path)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .context("cannot start the client")?;
    if !output.status.success() {
        return Failure::because(format!("load {protocol} {url}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    let text = fs::read_to_string(&path).context(path.display())?;
    let json: Value = serde_json::from_str(&text).context(path.display())?;
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_f64).ok_or("is missing").context(pointer);
    Ok(Found {
        requests: number("/requests")?,
        rate: number("/rate")?,
        errors: number("/errors/total")?,
        busy: 100.0 * number("/client_busy")?,
        p50_us: number("/latency_us/p50")?,
        p99_us: number("/latency_us/p99")?,
    })
}

/// A client that runs until it is dropped.
pub(crate) struct Nuisance(Child);

impl Nuisance {
    /// It shares core 1 with the measured client, and gets only the time that the measured client leaves (`sched(7)`:
    /// `SCHED_IDLE`).
    pub(crate) fn start(lab: &Lab, protocol: &str, url: &str, options: &[&str]) -> Result<Self> {
        let child = Command::new("taskset")
            .args(["-c", "1", "chrt", "-i", "0"])
            .arg(&lab.load)
            .args([protocol, url, "--duration", "1h"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Ok(Self(child.context("cannot start a client")?))
    }

    /// Whether the client is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().is_ok_and(|status| status.is_none())
    }
}

impl Drop for Nuisance {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
