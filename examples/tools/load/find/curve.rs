//! The steps of a search, as text and as JSON.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::search::{Knee, Verdict};
use super::svg::{Plot, Point};
use crate::arrivals::Spread;
use crate::condition::Condition;
use crate::options::Cli;
use crate::report::{Report, is_bottleneck};
use crate::settings::settings;

/// The longest bar of the plot, in characters.
const BAR_MAX: f64 = 40.0;

/// If a condition breaks while at least this part of the rate is kept, the server is not plainly overloaded.
const DOUBTFUL: f64 = 0.95;

/// The result of a run at one rate.
pub(crate) struct Step {
    offered: u64,
    answered: f64,
    p50: Option<Duration>,
    p99: Option<Duration>,
    errors: u64,
    busy: f64,
    /// The part of the rate that was kept.
    kept: f64,
    /// Why conditions did not hold.
    broken: Vec<String>,
}

impl Step {
    pub(crate) fn new(offered: u64, report: &Report, limit: &[Condition]) -> Self {
        let kept = report.kept_part();
        let mut broken = report.failures(limit);
        if !report.is_kept() {
            broken.push(format!("the rate was not kept: {:.1} % of it", 100.0 * kept));
        }
        Self {
            offered,
            answered: report.rate(),
            p50: report.latency(0.5),
            p99: report.latency(0.99),
            errors: report.errors(),
            busy: report.busy(),
            kept,
            broken,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        match self.broken[..] {
            [] => Verdict::Holds,
            _ if self.kept >= DOUBTFUL => Verdict::Doubtful,
            _ => Verdict::Breaks,
        }
    }

    fn is_bottleneck(&self) -> bool {
        is_bottleneck(self.busy)
    }

    /// Returns its line of the curve.
    pub(crate) fn line(&self) -> String {
        let span = |latency: Option<Duration>| latency.map_or_else(|| "-".into(), |latency| format!("{latency:.1?}"));
        let how = if self.broken.is_empty() { "holds" } else { "breaks" };
        let mut line = format!(
            "{:>9}/s {:>9.0}/s {:>9} {:>9} {:>8}  {how}",
            self.offered,
            self.answered,
            span(self.p50),
            span(self.p99),
            self.errors
        );
        if !self.broken.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(line, ": {}", self.broken.join("; "));
        }
        if self.is_bottleneck() {
            let _ = write!(line, " (the client was the bottleneck: {:.0} % busy)", 100.0 * self.busy);
        }
        line + "\n"
    }

    fn json(&self) -> Value {
        let microseconds = |latency: Option<Duration>| latency.map(|latency| latency.as_nanos() as f64 / 1000.0);
        json!({
            "offered": self.offered,
            "answered": self.answered,
            "p50_us": microseconds(self.p50),
            "p99_us": microseconds(self.p99),
            "errors": self.errors,
            "client_busy": self.busy,
            "kept": self.kept,
            "holds": self.broken.is_empty(),
            "broken": self.broken,
        })
    }
}

/// All steps so far.
pub(crate) struct Curve {
    title: String,
    settings: Value,
    /// Conditions of latencies.
    limits: Vec<(String, Duration)>,
    pub(crate) steps: Vec<Step>,
}

impl Curve {
    pub(crate) fn new(cli: &Cli, limit: &[Condition]) -> Self {
        let limits = limit.iter().filter_map(|condition| Some((condition.to_string(), condition.latency()?))).collect();
        let limit: Vec<_> = limit.iter().map(ToString::to_string).collect();
        let mut settings = settings(cli);
        settings.insert("model".into(), json!("open"));
        settings.insert("arrivals".into(), json!(cli.arrivals.name()));
        settings.insert("limit".into(), json!(limit));
        let (protocol, url, connections) = (cli.protocol.name(), cli.places(), cli.connections);
        let seed =
            if cli.arrivals == Spread::Poisson { format!(", Poisson from seed {}", cli.seed) } else { String::new() };
        let title = format!("find {protocol} {url}: {connections} connections{seed}, {}", limit.join(", "));
        Self { title, settings: Value::Object(settings), limits, steps: Vec::new() }
    }

    pub(crate) fn head(&self) -> String {
        format!("{}\n{:>11} {:>11} {:>9} {:>9} {:>8}\n", self.title, "offered", "answered", "p50", "p99", "errors")
    }

    /// Returns what comes after the lines of the steps: the plot, and the knee.
    pub(crate) fn tail(&self, knee: &Knee, is_interrupted: bool) -> String {
        let mut text = self.plot();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "knee        {knee}");
        if self.steps.iter().any(|step| step.is_bottleneck() && knee.breaks == Some(step.offered)) {
            text +=
                "warning: the load generator was the bottleneck where it broke, so the server may be capable of more\n";
        }
        if is_interrupted {
            text += "ended early, by a signal\n";
        }
        text
    }

    /// Returns the last step at each rate, by rising rate.
    fn last_steps(&self) -> Vec<&Step> {
        let mut steps: Vec<_> = self.steps.iter().rev().collect();
        steps.sort_by_key(|step| step.offered);
        steps.dedup_by_key(|step| step.offered);
        steps
    }

    /// The p99 of each rate, as bars on a logarithmic scale.
    fn plot(&self) -> String {
        let mut steps = self.last_steps();
        steps.retain(|step| step.p99.is_some());
        let logarithm = |step: &Step| step.p99.unwrap_or_default().as_secs_f64().max(1e-9).ln();
        let lowest = steps.iter().map(|step| logarithm(step)).fold(f64::INFINITY, f64::min);
        let highest = steps.iter().map(|step| logarithm(step)).fold(f64::NEG_INFINITY, f64::max);
        let mut text = String::from("\np99 by rate, on a logarithmic scale; # holds, x breaks\n");
        for step in steps {
            let part = if highest > lowest { (logarithm(step) - lowest) / (highest - lowest) } else { 0.0 };
            let mark = if step.broken.is_empty() { "#" } else { "x" };
            let bar = mark.repeat(1 + (part * (BAR_MAX - 1.0)).round() as usize);
            let _ = writeln!(text, "{:>9}/s {bar} {:.1?}", step.offered, step.p99.unwrap_or_default());
        }
        text + "\n"
    }

    pub(crate) fn svg(&self, knee: &Knee) -> String {
        let steps = self.last_steps().into_iter();
        let points = steps.map(|step| Point {
            rate: step.offered,
            latencies: step.p50.zip(step.p99).map(|(p50, p99)| [p50, p99]),
            holds: step.broken.is_empty(),
        });
        let Self { title, limits, .. } = self;
        Plot { title, points: points.collect(), limits, knee: knee.holds, found: &knee.to_string() }.svg()
    }

    pub(crate) fn json(&self, knee: &Knee, is_interrupted: bool) -> String {
        let mut result = self.settings.clone();
        result["knee"] = json!({ "holds": knee.holds, "breaks": knee.breaks });
        result["steps"] = self.steps.iter().map(Step::json).collect();
        result["interrupted"] = json!(is_interrupted);
        format!("{result:#}\n")
    }
}
