use std::ffi::c_int;
use std::fmt::Write;
use std::time::{Duration, Instant};

use indicatif::BinaryBytes;
use nix::time::ClockId;
use serde_json::{Map, Value, json};

use crate::arrivals::Spread;
use crate::client::failure::{Context as _, Failure, Result};
use crate::condition::Condition;
use crate::options::{Cli, Protocol};
use crate::pace::{Pace, Stop};
use crate::settings::{model, settings};
use crate::tally::{Kind, Outcomes, Tally};

/// Above this share of a core the client limited the rate itself.
const BUSY_MAX: f64 = 0.9;
/// Below this share of the requested rate, the rate was not kept.
const KEPT: f64 = 0.99;
/// The last answers may be this late, in seconds: a stall at the end of a short run.
const LATE: f64 = 0.05;

const QUANTILES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)];

/// The share of its core that the client's only thread has used since a start.
pub(crate) struct Processor {
    since: Instant,
    used: Duration,
}

impl Processor {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { since: Instant::now(), used: processor_time()? })
    }

    pub(crate) fn busy(&self) -> Result<f64> {
        let used = processor_time()?.saturating_sub(self.used);
        Ok(used.as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

fn processor_time() -> Result<Duration> {
    Ok(ClockId::CLOCK_THREAD_CPUTIME_ID.now().context("cannot read the clock of the thread")?.into())
}

/// Whether the thread was so busy that the load generator limited the rate, not the server.
pub(crate) fn is_bottleneck(busy: f64) -> bool {
    busy > BUSY_MAX
}

/// A warning if the thread was so busy that the load generator limited the rate, not the server.
fn bottleneck(busy: f64) -> Option<String> {
    is_bottleneck(busy).then(|| {
        format!(
            "warning: the load generator was the bottleneck: its core was {:.0} % busy, so the server may be capable of more",
            busy * 100.0
        )
    })
}

/// Returns the URLs of the targets, each with its connections. They take turns, so the first ones may have one more.
fn targets(cli: &Cli) -> Vec<(String, usize)> {
    let (connections, count) = (cli.connections as usize, cli.urls.len());
    let of = |number| connections / count + usize::from(number < connections % count);
    cli.urls.iter().enumerate().map(|(number, url)| (url.to_string(), of(number))).collect()
}

/// Returns how many connections there were at the first error, if their number grows.
fn first_error(cli: &Cli, tally: &Tally, pace: &Pace) -> Option<String> {
    let after = pace.elapsed(tally.first_error_at?);
    let count = cli.ramp_connections.as_ref()?.count(after);
    Some(format!("the first error came after {:.1} s, with {count} connections", after.as_secs_f64()))
}

/// Returns the number of errors, and of those of each kind that came.
fn errors(outcomes: &Outcomes) -> String {
    let mut text = outcomes.errors().to_string();
    for (kind, name, _) in Kind::ALL.iter().filter(|(kind, ..)| outcomes.errors_of(*kind) > 0) {
        // Writing to a string cannot fail.
        let _ = write!(text, ", {name} {}", outcomes.errors_of(*kind));
    }
    text
}

fn errors_json(outcomes: &Outcomes) -> Value {
    let kinds = Kind::ALL.iter().map(|(kind, name, _)| (*name, outcomes.errors_of(*kind)));
    let all = kinds.chain([("total", outcomes.errors())]);
    Value::Object(all.map(|(name, count)| (name.into(), count.into())).collect())
}

/// The results of a run.
pub(crate) struct Report {
    title: String,
    /// The URLs of the targets, each with its connections.
    targets: Vec<(String, usize)>,
    setup: Map<String, Value>,
    /// Requests a second of an open loop.
    asked: Option<u64>,
    /// How long it should measure, and how long it did, in seconds.
    planned: f64,
    tally: Tally,
    seconds: f64,
    busy: f64,
    unsent: u64,
    is_file: bool,
    is_chat: bool,
    is_bad: bool,
    /// The requests of an open loop are due at equal distances.
    is_even: bool,
    /// Of Poisson arrivals.
    seed: Option<u64>,
    /// Of the pauses before connections are opened again.
    pause_seed: Option<u64>,
    stopped: Option<Stop>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(cli: &Cli, tally: Tally, pace: &Pace, busy: f64) -> Self {
        let seconds = tally.last_answer.max(pace.end()).duration_since(tally.start).as_secs_f64();
        let is_file = cli.protocol.is_file();
        let how = if cli.bad.is_some() { "all of them bad".into() } else { format!("{} loop", model(cli)) };
        let connections = match &cli.ramp_connections {
            Some(ramp) => format!("{ramp} connections"),
            None if cli.connections == 1 => "1 connection".into(),
            None => format!("{} connections", cli.connections),
        };
        let mut report = Self {
            title: format!("{} {}: {connections}, {how}", cli.protocol.name(), cli.places()),
            targets: targets(cli),
            setup: settings(cli),
            asked: cli.rate,
            planned: cli.duration.as_secs_f64(),
            tally,
            seconds,
            busy,
            unsent: pace.unsent(),
            is_file,
            is_chat: cli.protocol == Protocol::Chat,
            is_bad: cli.bad.is_some(),
            is_even: cli.ramp.is_none() && cli.arrivals == Spread::Even,
            seed: (cli.arrivals == Spread::Poisson).then_some(cli.seed),
            pause_seed: cli.reconnect.then_some(cli.seed),
            stopped: pace.stopped(),
            notes: Vec::new(),
        };
        report.notes = report.notes();
        report.notes.extend(first_error(cli, &report.tally, pace));
        report
    }

    /// Right answers per second.
    pub(crate) fn rate(&self) -> f64 {
        self.each_second(self.tally.requests())
    }

    /// Requests per second that left: of a chat, the lines that were said.
    fn kept_rate(&self) -> f64 {
        if self.is_chat { self.each_second(self.tally.lines) } else { self.rate() }
    }

    /// The part of the rate of an open loop that was kept: of its requests that were answered, or of its time if the last answers
    /// were late.
    pub(crate) fn kept_part(&self) -> f64 {
        let asked = self.tally.requests() + self.tally.errors() + self.unsent;
        let answered = self.tally.requests() as f64 / asked.max(1) as f64;
        let in_time = self.planned / (self.seconds - LATE).max(self.planned);
        answered.min(in_time)
    }

    /// Whether fewer requests were answered than were asked for. How many are due at random or on a ramp is not known here, but
    /// whether they are late.
    fn is_slower_than(&self, asked: u64) -> bool {
        if self.is_even { self.kept_rate() < KEPT * asked as f64 } else { !self.is_kept() }
    }

    /// Whether nearly the whole rate was kept.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept_part() >= KEPT
    }

    /// Returns why these conditions do not hold, of each that does not.
    pub(crate) fn failures(&self, conditions: &[Condition]) -> Vec<String> {
        let rate = self.rate();
        conditions.iter().filter_map(|condition| condition.failure(&self.tally, rate)).collect()
    }

    /// Returns the latency that this part of the requests does not exceed. Without an answer there is no latency.
    pub(crate) fn latency(&self, part: f64) -> Option<Duration> {
        (self.tally.requests() > 0).then(|| Duration::from_nanos(self.tally.latencies.value_at_quantile(part)))
    }

    pub(crate) fn errors(&self) -> u64 {
        self.tally.errors()
    }

    /// The share of its core that the client has used.
    pub(crate) fn busy(&self) -> f64 {
        self.busy
    }

    /// Bytes of file contents per second.
    fn file_rate(&self) -> f64 {
        self.each_second(self.tally.file_bytes)
    }

    fn each_second(&self, count: u64) -> f64 {
        // A run that was stopped during the warm-up has measured for no time.
        if self.seconds > 0.0 { count as f64 / self.seconds } else { 0.0 }
    }

    /// Adds notes and warnings.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Returns the signal that ended the run.
    pub(crate) fn signal(&self) -> Option<c_int> {
        match self.stopped {
            Some(Stop::Signal(signal)) => Some(signal),
            Some(Stop::Files) | None => None,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.stopped {
            Some(Stop::Signal(_)) => notes.push("ended early, by a signal".into()),
            Some(Stop::Files) => notes.push("ended early: --max-files allows no more uploads".into()),
            None => {}
        }
        match self.asked {
            None if !self.is_bad => notes.push(
                "closed loop: no connection sends during a stall, so a stall shows in one request of each \
                 connection only and the percentiles hide it; --rate shows it"
                    .into(),
            ),
            Some(asked) if self.unsent > 0 || self.is_slower_than(asked) => notes.push(format!(
                "warning: the rate of {asked}/s was not kept, latencies grew with time; {} requests were due and never \
                 sent",
                self.unsent
            )),
            _ => {}
        }
        notes.extend(bottleneck(self.busy));
        notes
    }

    pub(crate) fn text(&self) -> String {
        let Self { tally, seconds, .. } = self;
        let mut text = format!("{}, {seconds:.1} s\n", self.title);
        // Writing to a string cannot fail.
        let _ = if self.is_bad { self.tell_harm(&mut text) } else { self.tell_requests(&mut text) };
        if let Some(error) = &tally.first_error {
            let _ = writeln!(text, "the first:  {error}");
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}");
        }
        text
    }

    fn tell_requests(&self, text: &mut String) -> std::fmt::Result {
        let Self { tally, .. } = self;
        if self.is_chat {
            writeln!(text, "lines       {}, {:.0}/s", tally.lines, self.kept_rate())?;
            writeln!(text, "deliveries  {}, {:.0}/s", tally.requests(), self.rate())?;
            writeln!(text, "missed      {}, as the server said", tally.missed)?;
        } else {
            writeln!(text, "requests    {}, {:.0}/s", tally.requests(), self.rate())?;
        }
        if self.is_file {
            let rate = self.file_rate();
            writeln!(text, "contents    {}, {}/s", BinaryBytes(tally.file_bytes), BinaryBytes(rate as u64))?;
        }
        if tally.requests() > 0 {
            let latencies =
                QUANTILES.map(|(name, part)| format!("{name} {:.1?}", self.latency(part).unwrap_or_default()));
            writeln!(text, "latency     {}", latencies.join(", "))?;
        }
        self.tell_errors(text)?;
        let reconnects = tally.outcomes().reconnects;
        match self.pause_seed {
            Some(seed) => writeln!(text, "reconnects  {reconnects}, pauses from seed {seed}")?,
            None if reconnects > 0 => writeln!(text, "reconnects  {reconnects}")?,
            None => {}
        }
        if let Some(seed) = self.seed {
            writeln!(text, "arrivals    Poisson, seed {seed}")?;
        }
        writeln!(text, "client      its thread was {:.0} % busy", self.busy * 100.0)
    }

    fn tell_harm(&self, text: &mut String) -> std::fmt::Result {
        let harm = &self.tally.harm;
        writeln!(text, "connections {}", harm.connections)?;
        writeln!(text, "ended       {} by the server, {} reset by us", harm.closed_by_server, harm.reset_by_us)?;
        let (sent, received) = (BinaryBytes(harm.bytes_sent), BinaryBytes(harm.bytes_received));
        writeln!(text, "bytes       {sent} sent, {received} received")?;
        self.tell_errors(text)
    }

    fn tell_errors(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "errors      {}", errors(&self.tally.outcomes()))?;
        if self.targets.len() == 1 {
            return Ok(());
        }
        for ((url, connections), outcomes) in self.targets.iter().zip(self.tally.targets()) {
            write!(text, "  {url}: connections {connections}, ")?;
            if !self.is_bad {
                write!(text, "requests {}, reconnects {}, ", outcomes.answered, outcomes.reconnects)?;
            }
            writeln!(text, "errors {}", errors(outcomes))?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> String {
        let Self { tally, .. } = self;
        let outcomes = tally.outcomes();
        let latency = |part| self.latency(part).map(|latency| latency.as_nanos() as f64 / 1000.0);
        let latencies: Map<_, _> = QUANTILES.iter().map(|&(name, part)| (name.into(), json!(latency(part)))).collect();
        let mut report = json!({
            "seconds": self.seconds,
            "requests": tally.requests(),
            "rate": self.rate(),
            "latency_us": latencies,
            "errors": errors_json(&outcomes),
            "first_error": tally.first_error,
            "reconnects": outcomes.reconnects,
            "unsent": self.unsent,
            "client_busy": self.busy,
            "interrupted": self.signal().is_some(),
            "notes": self.notes,
        });
        if self.targets.len() > 1 {
            report["targets"] = self.targets_json();
        }
        if self.is_file {
            report["bytes"] = json!(tally.file_bytes);
            report["bytes_per_second"] = json!(self.file_rate());
        }
        if self.is_chat {
            report["lines"] = json!(tally.lines);
            report["missed"] = json!(tally.missed);
        }
        if self.is_bad {
            let harm = &tally.harm;
            report["harm"] = json!({
                "connections": harm.connections,
                "closed_by_server": harm.closed_by_server,
                "reset_by_us": harm.reset_by_us,
                "bytes_sent": harm.bytes_sent,
                "bytes_received": harm.bytes_received,
            });
        }
        let setup = self.setup.iter().map(|(name, value)| (name.clone(), value.clone()));
        let members = report.as_object().cloned().unwrap_or_default();
        format!("{:#}\n", Value::Object(setup.chain(members).collect()))
    }

    fn targets_json(&self) -> Value {
        let targets = self.targets.iter().zip(self.tally.targets());
        let object = |((url, connections), outcomes): (&(String, usize), &Outcomes)| {
            json!({
                "url": url,
                "connections": connections,
                "requests": outcomes.answered,
                "errors": errors_json(outcomes),
                "reconnects": outcomes.reconnects,
            })
        };
        targets.map(object).collect()
    }

    /// Fails if an assertion does not hold, or if there was nothing to measure.
    pub(crate) fn judge(&self, conditions: &[Condition]) -> Result<()> {
        let failures = self.failures(conditions);
        if !failures.is_empty() {
            return Failure::because(failures.join("; "));
        }
        let nothing = if self.is_bad { self.tally.harm.connections == 0 } else { self.tally.requests() == 0 };
        if nothing {
            let why =
                self.tally.first_error.as_deref().unwrap_or("no request that was due after the warm-up was answered");
            return Failure::because(format!("nothing could be measured: {why}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_busier_than_its_limit_reports_that_it_was_the_bottleneck() {
        assert_eq!(bottleneck(0.9), None);
        let warning = bottleneck(0.97).unwrap_or_default();
        assert!(warning.contains("the load generator was the bottleneck: its core was 97 % busy"), "{warning}");
    }

    #[test]
    fn a_busy_thread_is_seen_as_busy_and_a_sleeping_one_is_not() {
        let busy = |work: fn(Instant)| {
            let processor = Processor::start().unwrap_or_else(|_| panic!("no clock"));
            work(processor.since);
            processor.busy().unwrap_or_else(|_| panic!("no clock"))
        };
        // Sleeping is the subject here, and not a way to wait for something.
        let sleeping = busy(|_| std::thread::sleep(Duration::from_millis(50)));
        let working = busy(|since| while since.elapsed() < Duration::from_millis(50) {});
        assert!(sleeping < 0.1 && working > 2.0 * sleeping, "{sleeping} {working}");
    }
}
