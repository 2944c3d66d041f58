//! The effect of loud clients on quiet ones.

use std::thread;
use std::time::{Duration, Instant};

use super::foreign::Cores;
use super::lab::Lab;
use super::load::{Nuisance, load};
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, Row, median, print, repeat, say};
use crate::failure::{Failure, Result};

/// Ten clients that send requests now and then. The loop is open, so that a stall counts for every request that was due
/// meanwhile.
const QUIET: [&str; 8] = ["-c", "10", "--size", "64", "--rate", "1k", "--warmup", "500ms"];
const COLUMNS: [Column; 3] = [Column::plain("p50 µs", 0), Column::compared("p99 µs", 0), Column::plain("errors", 0)];
const P99: usize = 1;
const LISTENERS: [(&str, &str); 4] = [("uppercase", "tcp"), ("sum", "tcp"), ("sum", "udp"), ("file", "tcp")];

/// Three thousand requests, so that thirty of them are beyond the p99.
const SPAN_MIN: Duration = Duration::from_secs(3);
/// The time limit for the other clients to connect.
const GATHERING: Duration = Duration::from_secs(60);
/// How long the storm goes on before the measurement: the clients that never read have filled some of the buffers by
/// then.
const SETTLING: Duration = Duration::from_secs(10);

/// Other clients: the listener they use, and how.
struct Loud {
    listener: usize,
    options: &'static [&'static str],
    /// Connections that they keep.
    kept: usize,
}

/// In messages that the kernel copies in short system calls: a process of idle priority gives way between system calls,
/// not within one.
const FIREHOSE: Loud = Loud { listener: 0, options: &["-c", "1", "--size", "64KiB", "--pipeline", "16"], kept: 1 };
const FLOOD: Loud =
    Loud { listener: 2, options: &["-c", "4", "--rate", "1M", "--pipeline", "1000", "--timeout", "10ms"], kept: 0 };
const ACCEPTS: Loud = Loud { listener: 1, options: &["-c", "100", "--connect-each"], kept: 0 };
const UPLOADS: Loud = Loud { listener: 3, options: &["-c", "4", "--size", "64MiB"], kept: 0 };
const SILENT: Loud = Loud { listener: 0, options: &["-c", "500", "--bad", "never-reads"], kept: 500 };
const DRIPPING: Loud = Loud { listener: 1, options: &["-c", "500", "--bad", "drips"], kept: 500 };
/// A load that once blocked all new connections: short requests that are expensive to answer, and short connections.
const EXPENSIVE_SUMS: Loud = Loud { listener: 1, options: &["-c", "8", "--bad", "expensive"], kept: 8 };
const EXPENSIVE_LETTERS: Loud = Loud { listener: 0, options: &["-c", "8", "--bad", "expensive"], kept: 8 };
const SHORT: Loud = Loud { listener: 1, options: &["-c", "16", "--connect-each", "--rate", "1k"], kept: 0 };
const RESETTING: Loud = Loud { listener: 1, options: &["-c", "100", "--bad", "resets"], kept: 0 };

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let title = "Ten quiet clients, 1,000 requests a second together";
    let rows = beside(
        lab,
        title,
        &lab.reactor(&LISTENERS)?,
        &[
            ("alone", &[]),
            ("beside a firehose", &[FIREHOSE]),
            ("beside a UDP flood", &[FLOOD]),
            ("beside an accept storm", &[ACCEPTS]),
            ("beside four synced uploads", &[UPLOADS]),
            ("beside expensive streams and short connections", &[EXPENSIVE_SUMS, EXPENSIVE_LETTERS, SHORT]),
        ],
    )?;
    judge(&rows)?;
    let title = "The same on the bare loop, which reads for as long as something comes";
    beside(lab, title, &lab.peer(&["bare", "uppercase"]), &[("alone", &[]), ("beside a firehose", &[FIREHOSE])])?;
    Ok(())
}

fn beside(lab: &Lab, title: &str, line: &[String], situations: &[(&str, &[Loud])]) -> Result<Vec<Row>> {
    let server = Server::start(line)?;
    let own = server.descriptors()?;
    let names: Vec<_> = situations.iter().map(|(name, _)| *name).collect();
    let rows = paired(title, lab.rounds, &names, Cores::Two, |index| {
        let mut others = gather(lab, &server, own, situations[index].1)?;
        sample(lab, &server, &mut others)
    })?;
    print(title, &COLUMNS, &rows)?;
    Ok(rows)
}

/// The storm takes a while to gather, so here runs are not paired: a ratio refers to the median of those alone.
pub(crate) fn storm(lab: &Lab) -> Result<()> {
    let server = Server::start(&lab.reactor(&LISTENERS)?)?;
    let (own, at_rest) = (server.descriptors()?, server.resident_bytes()?);
    let title = "Ten quiet clients beside 500 that never read, 500 that drip, 100 that reset, 16 that stream what is expensive, a flood and an accept storm";
    let alone = repeat(title, lab.rounds, "alone", || sample(lab, &server, &mut []))?;
    let mut others =
        gather(lab, &server, own, &[SILENT, DRIPPING, RESETTING, EXPENSIVE_SUMS, EXPENSIVE_LETTERS, FLOOD, ACCEPTS])?;
    // No event reports when buffers are full enough: the delay only chooses the moment of the measurement.
    thread::sleep(SETTLING);
    let mut stormy = repeat(title, lab.rounds, "in the storm", || sample(lab, &server, &mut others))?;
    let floor: Vec<_> = (0..COLUMNS.len()).map(|column| median(alone.column(column))).collect();
    let ratios = |run: &Vec<f64>| run.iter().zip(&floor).map(|(run, floor)| run / floor).collect();
    stormy.ratios = stormy.rounds.iter().map(ratios).collect();
    let rows = [alone, stormy];
    drop(others);
    print(title, &COLUMNS, &rows)?;
    let mebibytes = |bytes: u64| bytes as f64 / (1024.0 * 1024.0);
    say(&format!(
        "resident memory: {:.1} MiB at rest, {:.1} MiB at most (max_pending_output_total is 256 MiB)",
        mebibytes(at_rest),
        mebibytes(server.peak_bytes()?)
    ))?;
    judge(&rows)
}

/// Starts the loud clients, and waits until the server, which had `own` descriptors at rest, has all those that stay.
fn gather(lab: &Lab, server: &Server, own: usize, others: &[Loud]) -> Result<Vec<Nuisance>> {
    let mut running = Vec::new();
    for Loud { listener, options, .. } in others {
        running.push(Nuisance::start(lab, LISTENERS[*listener].0, &server.urls[*listener], options)?);
    }
    let kept: usize = others.iter().map(|loud| loud.kept).sum();
    let since = Instant::now();
    while server.descriptors()? < own + kept {
        if since.elapsed() > GATHERING {
            return Failure::because("the loud clients do not get connected");
        }
        // No event reports the descriptors of another process: count them again.
        thread::sleep(Duration::from_millis(10));
    }
    Ok(running)
}

fn sample(lab: &Lab, server: &Server, others: &mut [Nuisance]) -> Result<Vec<f64>> {
    let found = load(lab, "uppercase", server.url(), lab.span.max(SPAN_MIN), &QUIET)?;
    if !others.iter_mut().all(Nuisance::is_running) {
        return Failure::because("one of the loud clients gave up");
    }
    Ok(vec![found.p50_us, found.p99_us, found.errors])
}

/// Whether all stay within twice what the first row has, and a millisecond.
fn judge(rows: &[Row]) -> Result<()> {
    let p99 = |row: &Row| median(row.rounds.iter().map(|round| round[P99]).collect());
    let Some((alone, others)) = rows.split_first() else { return Ok(()) };
    let allowed = 2.0 * p99(alone) + 1000.0;
    let beyond: Vec<_> = others.iter().filter(|row| p99(row) > allowed).map(|row| row.name.as_str()).collect();
    let verdict = if beyond.is_empty() { "kept by all".to_owned() } else { format!("exceeded {}", beyond.join(", ")) };
    say(&format!("allowed: twice the p99 alone and 1 ms, {allowed:.0} µs: {verdict}"))
}
