//! The counters as Prometheus reads them: in its own text format, or in the format of OpenMetrics.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::http::{OK, Response};
use super::process::Process;
use crate::snapshot::{Door, Histogram, Readiness, Snapshot};
use crate::stats::{Reloads, Tally};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type, as Prometheus expects it to the letter.
    const fn kind(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Chooses the format that an `Accept` header prefers (RFC 9110, 12.5.1); without a preference the one of Prometheus.
    pub(super) fn chosen(accept: &str) -> Self {
        let (mut plain, mut open) = (None, None);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
            let quality = quality.map_or(Some(1.0), |quality| quality.parse::<f32>().ok()).unwrap_or(0.0);
            let best = match kind.to_ascii_lowercase().as_str() {
                "application/openmetrics-text" => &mut open,
                "text/plain" => &mut plain,
                _ => continue,
            };
            *best = Some(best.map_or(quality, |known: f32| known.max(quality)));
        }
        match open {
            Some(open) if open > 0.0 && plain.is_none_or(|plain| open >= plain) => Self::OpenMetrics,
            _ => Self::Prometheus,
        }
    }
}

/// Makes the answer to a scrape.
pub(super) fn response(snapshot: Snapshot, format: Format) -> Response {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { snapshot, process: Process::read() }));
    let mut text = String::new();
    let written = match format {
        Format::Prometheus => prometheus_text::encode(&mut text, &registry),
        Format::OpenMetrics => text::encode(&mut text, &registry),
    };
    // Writing to a string never fails.
    debug_assert!(written.is_ok(), "{written:?}");
    Response::new(OK, format.kind(), text)
}

/// One scrape.
#[derive(Debug)]
struct Scrape {
    snapshot: Snapshot,
    process: Process,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let snapshot = &self.snapshot;
        families.of_the_loop(snapshot)?;
        families.of_connections(&snapshot.doors)?;
        families.of_output_and_others(&snapshot.doors)?;
        families.of_datagrams(&snapshot.doors)?;
        families.of_resources(snapshot)?;
        families.of_operation(snapshot)?;
        families.of_the_process(snapshot, &self.process)
    }
}

/// Writes families of metrics. The names of counters end with `_total`, which the encoder appends.
struct Families<'e>(DescriptorEncoder<'e>);

/// The labels of a metric.
type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Families<'_> {
    fn counters<'a>(&mut self, name: &str, help: &str, all: impl Iterator<Item = (Labels<'a>, u64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in all {
            family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn gauges<'a>(&mut self, name: &str, help: &str, all: impl Iterator<Item = (Labels<'a>, u64)>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in all {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    /// Writes a counter of seconds.
    fn seconds(&mut self, name: &str, help: &str, nanoseconds: u64) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&seconds(nanoseconds), None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
        match value {
            Some(value) => self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value),
            None => Ok(()),
        }
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) -> fmt::Result {
        // The encoder itself writes the bucket without a bound.
        let bounded = histogram.counts[..Histogram::BUCKETS - 1].iter().enumerate();
        let buckets: Vec<_> = bounded.map(|(bucket, count)| (Histogram::bound(bucket) as f64 / 1e6, *count)).collect();
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(seconds(histogram.sum), histogram.count(), &buckets, None)
    }

    fn of_the_loop(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let pulse = &snapshot.pulse;
        self.seconds(
            "reactor_loop_busy_seconds",
            "Time the loop worked, since the first request for the server's state.",
            pulse.turns.sum,
        )?;
        self.seconds(
            "reactor_loop_wait_seconds",
            "Time between turns, since the first request for the server's state.",
            pulse.waited,
        )?;
        self.histogram(
            "reactor_loop_turn_seconds",
            "Work of one turn, since the first request for the server's state.",
            &pulse.turns,
        )?;
        self.histogram(
            "reactor_loop_late_seconds",
            "Time from the earliest deadline that was due to the turn that acted on it, since the first request for the server's state.",
            &pulse.lateness,
        )?;
        self.gauge("reactor_loop_ready_slots", "Slots that wait for a visit.", Some(snapshot.ready_slots as u64))?;
        self.counter(
            "reactor_loop_stale_events",
            "Events and results for an owner that had closed.",
            snapshot.stale_notices,
        )?;
        self.counter(
            "reactor_loop_spent_slots",
            "Visits of a slot that ended with work left, because their budget was used up.",
            snapshot.spent_visits,
        )
    }

    fn of_connections(&mut self, doors: &[Door]) -> fmt::Result {
        let streams = || doors.iter().filter(|door| door.transport.is_stream());
        self.gauges("reactor_connections", "Open connections.", each(streams(), |door| door.open as u64))?;
        self.gauges(
            "reactor_connections_limit",
            "The limit max_connections.",
            each(streams(), |door| door.open_max as u64),
        )?;
        self.counters(
            "reactor_connections_accepted",
            "Connections that got a protocol.",
            each(streams(), |door| door.stats.accepted),
        )?;
        self.counters(
            "reactor_connections_closed",
            "Connections closed, by reason.",
            by_reason(streams(), |door| &door.stats.closed),
        )?;
        self.counters(
            "reactor_refused",
            "Refused connections and requests, by reason.",
            by_reason(streams(), |door| &door.stats.refused),
        )?;
        self.counters(
            "reactor_received_bytes",
            "Bytes received.",
            each(doors.iter(), |door| door.stats.received_bytes),
        )?;
        self.counters("reactor_sent_bytes", "Bytes sent.", each(doors.iter(), |door| door.stats.sent_bytes))?;
        self.counters(
            "reactor_slow_turns",
            "Turns that took longer than slow_turn and served this listener.",
            each(doors.iter(), |door| door.stats.slow_turns),
        )?;
        self.gauges(
            "reactor_accept_paused",
            "Whether accepting is paused.",
            each(streams(), |door| door.paused.is_some().into()),
        )?;
        self.counters(
            "reactor_accept_pauses",
            "Pauses of accepting, by reason.",
            by_reason(streams(), |door| &door.stats.paused),
        )?;
        let queues = || streams().filter_map(|door| Some((vec![listener(door)], door.accept_queue?)));
        self.gauges(
            "reactor_accept_queue",
            "Connections that wait to be accepted.",
            queues().map(|(labels, (waiting, _))| (labels, waiting.into())),
        )?;
        self.gauges(
            "reactor_accept_queue_limit",
            "The limit of the accept queue.",
            queues().map(|(labels, (_, most))| (labels, most.into())),
        )
    }

    fn of_output_and_others(&mut self, doors: &[Door]) -> fmt::Result {
        let streams = || doors.iter().filter(|door| door.transport.is_stream());
        self.gauges(
            "reactor_back_pressured_connections",
            "Connections from which nothing is read, because too much output is pending.",
            each(streams(), |door| door.stats.back_pressured()),
        )?;
        self.counters(
            "reactor_back_pressure",
            "Times that reading was paused because too much output was pending.",
            each(streams(), |door| door.stats.held_back.0),
        )?;
        self.counters(
            "reactor_connects",
            "Connections to other servers that got a protocol.",
            each(streams(), |door| door.stats.connected),
        )?;
        self.counters(
            "reactor_connect_errors",
            "Addresses to which no connection was made, by reason.",
            by_reason(streams(), |door| &door.stats.connect_errors),
        )?;
        self.counters(
            "reactor_requests",
            "Messages of peers that the protocol has consumed.",
            each(streams(), |door| door.stats.requests),
        )?;
        self.counters(
            "reactor_messages",
            "Messages between connections that were handed to a receiver.",
            each(streams(), |door| door.stats.messages),
        )?;
        self.counters(
            "reactor_undelivered_messages",
            "Messages between connections that were not handed to a receiver, by reason.",
            by_reason(streams(), |door| &door.stats.undelivered),
        )
    }

    fn of_datagrams(&mut self, doors: &[Door]) -> fmt::Result {
        let sockets = || doors.iter().filter(|door| !door.transport.is_stream());
        self.counters(
            "reactor_datagrams_received",
            "Datagrams received.",
            each(sockets(), |door| door.stats.received_datagrams),
        )?;
        self.counters("reactor_datagrams_sent", "Datagrams sent.", each(sockets(), |door| door.stats.sent_datagrams))?;
        self.counters(
            "reactor_datagrams_dropped",
            "Datagrams received and not answered, by reason.",
            by_reason(sockets(), |door| &door.stats.refused),
        )?;
        self.counters(
            "reactor_error_answers",
            "Datagrams answered with an error, by reason.",
            by_reason(sockets(), |door| &door.stats.error_answers),
        )?;
        self.counters(
            "reactor_receive_errors",
            "Failed calls to receive datagrams.",
            each(sockets(), |door| door.stats.receive_errors),
        )?;
        self.counters(
            "reactor_socket_dropped_datagrams",
            "Datagrams that the kernel dropped, because the receive buffer was full.",
            sockets().filter_map(|door| Some((vec![listener(door)], door.kernel_drops?.into()))),
        )
    }

    fn of_resources(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let (pending, pending_max) = snapshot.pending_bytes;
        self.gauge("reactor_pending_output_bytes", "Output not sent yet.", Some(pending as u64))?;
        self.gauge(
            "reactor_pending_output_limit_bytes",
            "The limit max_pending_output_total.",
            Some(pending_max as u64),
        )?;
        let states = |[one, other]: [&'static str; 2], counts: (usize, usize)| {
            [(vec![("state", one)], counts.0 as u64), (vec![("state", other)], counts.1 as u64)].into_iter()
        };
        self.gauges("reactor_upload_buffers", "Buffers of uploads.", states(["lent", "free"], snapshot.buffers))?;
        self.gauges("reactor_jobs", "Unfinished jobs.", states(["running", "queued"], snapshot.jobs))?;
        let (descriptors, descriptors_max) = snapshot.descriptors;
        self.gauge("reactor_descriptors", "Descriptors that connections may need.", Some(descriptors as u64))?;
        self.gauge(
            "reactor_descriptors_limit",
            "Descriptors that connections may have.",
            descriptors_max.map(|most| most as u64),
        )
    }

    fn of_operation(&mut self, snapshot: &Snapshot) -> fmt::Result {
        let Reloads { done, failed } = snapshot.reloads;
        let results = [("done", done), ("failed", failed)].map(|(result, count)| (vec![("result", result)], count));
        self.counters("reactor_config_reloads", "Reloads of the configuration, by result.", results.into_iter())?;
        self.gauge(
            "reactor_config_last_reload_successful",
            "Whether the last reload succeeded; 1 if there was none.",
            Some((!snapshot.has_reload_failed).into()),
        )?;
        let loaded_at = snapshot.loaded_at.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        if let Some(loaded_at) = loaded_at {
            let help = "When the server started, or last reloaded with success.";
            let name = "reactor_config_last_reload_success_timestamp_seconds";
            self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&loaded_at.as_secs_f64())?;
        }
        let is_draining = matches!(snapshot.readiness, Readiness::Leaving | Readiness::Stopping);
        self.gauge(
            "reactor_draining",
            "Whether the server is stopping, or serves on for shutdown_delay before it stops.",
            Some(is_draining.into()),
        )?;
        self.counter(
            "reactor_log_lines_dropped",
            "Log lines that were not written, because the log is too slow or its disk is full.",
            snapshot.lost_log_lines,
        )
    }

    fn of_the_process(&mut self, snapshot: &Snapshot, process: &Process) -> fmt::Result {
        let ready = snapshot.readiness.reason().is_none().into();
        self.gauge("reactor_ready", "Whether new connections should come to this server.", Some(ready))?;
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        self.gauges("reactor_build_info", "The version.", [(version, 1)].into_iter())?;
        if let Some(nanoseconds) = process.cpu_nanoseconds {
            self.seconds("process_cpu_seconds", "Time of all cores, of user and system.", nanoseconds)?;
        }
        self.gauge("process_resident_memory_bytes", "Memory in use.", process.resident_bytes)?;
        self.gauge("process_open_fds", "Open descriptors.", process.open_descriptors)?;
        self.gauge("process_max_fds", "The limit of open descriptors.", process.descriptors_max)
    }
}

/// Returns a value for each of these listeners.
fn each<'a>(
    doors: impl Iterator<Item = &'a Door>,
    value: impl Fn(&Door) -> u64,
) -> impl Iterator<Item = (Labels<'a>, u64)> {
    doors.map(move |door| (vec![listener(door)], value(door)))
}

/// Returns a value for each reason of each of these listeners.
fn by_reason<'a>(
    doors: impl Iterator<Item = &'a Door>,
    tally: impl Fn(&'a Door) -> &'a Tally,
) -> impl Iterator<Item = (Labels<'a>, u64)> {
    doors.flat_map(move |door| {
        tally(door).iter().map(move |(reason, count)| (vec![listener(door), ("reason", reason)], count))
    })
}

/// Returns the label that names a listener.
fn listener(door: &Door) -> (&'static str, &str) {
    ("listener", &door.name)
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_the_client_prefers() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for accept in [prometheus, "application/openmetrics-text", "text/plain, Application/OpenMetrics-Text"] {
            assert_eq!(Format::chosen(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain",
            "text/html",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; q=x",
            "application/openmetrics-text;q=0.4,text/plain;q=0.5",
        ] {
            assert_eq!(Format::chosen(accept), Format::Prometheus, "{accept}");
        }
    }
}
