//! How the cost of a request grows with the number of connections and with the size of the message.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::lab::Lab;
use super::load::{Found, load};
use super::plot::{Line, Plot, Point, Scale};
use super::server::Server;
use super::table::{Column, Row, compare, median, print, range};
use crate::failure::{Context as _, Failure, Result};

const NAMES: [&str; 3] = ["bare epoll", "tokio, one thread", "reactor"];
const COLUMNS: [Column; 4] = [
    Column::plain(NAMES[0], 2),
    Column::plain(NAMES[1], 2),
    Column::plain(NAMES[2], 2),
    Column::spread("reactor / bare epoll", 2),
];

const CONNECTIONS: [u32; 6] = [1, 10, 50, 200, 1000, 5000];
const SIZES: [u32; 6] = [64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// A run that is mostly connecting and closing. A client that has just started needs some time before its first
/// request.
const SHORT: Duration = Duration::from_millis(100);
/// How long the server may take to notice that the connections are closed.
const CLOSING: Duration = Duration::from_secs(10);

/// A tick of the x axis, and its load.
struct Step {
    x: f64,
    name: String,
    connections: u32,
    bytes: u32,
}

pub(crate) fn measure(lab: &Lab, svg: Option<&Path>) -> Result<()> {
    if let Some(directory) = svg {
        fs::create_dir_all(directory).context(directory.display())?;
    }

    let steps =
        CONNECTIONS.map(|count| Step { x: count.into(), name: count.to_string(), connections: count, bytes: 64 });
    let title = "CPU µs/request by connections: uppercase, 64 bytes, one at a time";
    let rows = rounds(lab, title, &steps)?;
    print(title, &COLUMNS, &rows)?;
    if let Some(directory) = svg {
        draw(&directory.join("growth-connections.svg"), title, "connections", Scale::Linear, &steps, &rows)?;
    }

    let steps = SIZES.map(|bytes| Step { x: bytes.into(), name: size(bytes), connections: 50, bytes });
    let title = "CPU µs/request by message size: uppercase, one at a time, 50 connections";
    let rows = rounds(lab, title, &steps)?;
    print(title, &COLUMNS, &rows)?;
    if let Some(directory) = svg {
        draw(&directory.join("growth-size.svg"), title, "size of a message", Scale::Logarithmic, &steps, &rows)?;
    }
    Ok(())
}

fn size(bytes: u32) -> String {
    if bytes < 1 << 10 { format!("{bytes} B") } else { format!("{} KiB", bytes >> 10) }
}

/// A row for each step. A round goes through all steps, and at each step through all servers, so that changes on the
/// machine do not bend a line.
fn rounds(lab: &Lab, title: &str, steps: &[Step]) -> Result<Vec<Row>> {
    let servers = [
        Server::start(&lab.peer(&["bare", "uppercase"]))?,
        Server::start(&lab.peer(&["tokio", "uppercase"]))?,
        Server::start(&lab.reactor(&[("uppercase", "tcp")])?)?,
    ];
    let turns = NAMES.repeat(steps.len());
    let turns = compare(title, lab.rounds, &turns, |turn| {
        let (step, server) = (&steps[turn / NAMES.len()], &servers[turn % NAMES.len()]);
        Ok(vec![cost(lab, server, step)?])
    })?;
    let row = |(step, turns): (&Step, &[Row])| {
        let [bare, tokio, reactor] = [0, 1, 2].map(|server: usize| turns[server].column(0));
        let rounds = bare.iter().zip(&tokio).zip(&reactor);
        let rounds = rounds.map(|((bare, tokio), reactor)| vec![*bare, *tokio, *reactor, reactor / bare]);
        Row { name: step.name.clone(), rounds: rounds.collect() }
    };
    Ok(steps.iter().zip(turns.chunks(NAMES.len())).map(row).collect())
}

/// Microseconds of processor time per additional request: a run less a short run, so that connecting and closing, equal
/// in both, cancel out. Their remaining noise is small, since runs are longer for more connections.
fn cost(lab: &Lab, server: &Server, step: &Step) -> Result<f64> {
    let (short_time, short) = run(lab, server, SHORT, step)?;
    let (time, found) = run(lab, server, lab.span * (1 + step.connections / 1000), step)?;
    let time = time.saturating_sub(short_time).as_secs_f64();
    let requests = found.requests - short.requests;
    if time > 0.0 && requests > 0.0 {
        return Ok(1e6 * time / requests);
    }
    let why = "a long run had no more requests than a short one: the span is too short, or the machine is busy";
    Failure::because(format!("at {}: {why}", step.name))
}

/// The processor time from the first connection to the close of the last one.
fn run(lab: &Lab, server: &Server, span: Duration, step: &Step) -> Result<(Duration, Found)> {
    let (connections, bytes) = (step.connections.to_string(), step.bytes.to_string());
    let (before, at_rest) = (server.processor_time()?, server.descriptors()?);
    let found = load(lab, "uppercase", server.url(), span, &["-c", &connections, "--size", &bytes])?;
    if found.errors > 0.0 {
        return Failure::because(format!("{} errors with {connections} connections, {bytes} bytes", found.errors));
    }
    let since = Instant::now();
    while server.descriptors()? > at_rest {
        if since.elapsed() > CLOSING {
            return Failure::because("the server does not close");
        }
        // No event reports the descriptors of another process: count them again.
        thread::sleep(Duration::from_millis(1));
    }
    Ok((server.processor_time()?.saturating_sub(before), found))
}

fn draw(path: &Path, title: &str, x_label: &str, scale: Scale, steps: &[Step], rows: &[Row]) -> Result<()> {
    let line = |(server, name): (usize, &&'static str)| {
        let point = |row: &Row| {
            let values = row.column(server);
            let (lowest, highest) = range(&values);
            Point { lowest, median: median(values), highest }
        };
        Line { name, points: rows.iter().map(point).collect() }
    };
    let plot = Plot {
        title,
        x_label,
        y_label: "CPU time per request, µs",
        x_ticks: steps.iter().map(|step| (step.x, step.name.as_str())).collect(),
        y_scale: scale,
        lines: NAMES.iter().enumerate().map(line).collect(),
    };
    fs::write(path, plot.svg()).context(path.display())
}
