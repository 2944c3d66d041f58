//! How the cost of a request grows with the number of connections and with the size of the message.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::foreign::Cores;
use super::lab::Lab;
use super::load::{Found, load};
use super::pairs::{Pairs, Quality, Run, watched};
use super::plot::{Line, Plot, Point, Scale};
use super::server::Server;
use super::table::{Column, Row, median, print, range};
use crate::failure::{Context as _, Failure, Result, tell};

const NAMES: [&str; 3] = ["bare epoll", "tokio, one thread", "reactor"];
const COLUMNS: [Column; 6] = [
    Column::plain(NAMES[0], 2),
    Column::plain(NAMES[1], 2),
    Column::plain(NAMES[2], 2),
    Column::spread("the same again / bare epoll", 2),
    Column::spread("reactor / bare epoll", 2),
    Column::load(),
];

const CONNECTIONS: [u32; 6] = [1, 10, 50, 200, 1000, 5000];
const SIZES: [u32; 6] = [64, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10];

/// The results of a run: the cost of a request, and how busy the load generator was.
const COST: usize = 0;
const LOAD_BUSY: usize = 1;

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

/// A row for each step. A round goes through all steps, and at each step through all servers in pairs, so that changes
/// on the machine do not bend a line.
fn rounds(lab: &Lab, title: &str, steps: &[Step]) -> Result<Vec<Row>> {
    let bare = lab.peer(&["bare", "uppercase"]);
    let servers = [
        Server::start(&bare)?,
        Server::start(&bare)?,
        Server::start(&lab.peer(&["tokio", "uppercase"]))?,
        Server::start(&lab.reactor(&[("uppercase", "tcp")])?)?,
    ];
    let [floor, tokio, reactor] = NAMES;
    let mut pairs: Vec<_> = steps.iter().map(|_| Pairs::new(&[floor, "the same again", tokio, reactor])).collect();
    for round in 0..lab.rounds {
        tell(format_args!("{title}: round {} of {}", round + 1, lab.rounds));
        for (step, pairs) in steps.iter().zip(&mut pairs) {
            pairs.round(round % 2 == 0, |index| sample(lab, &servers[index], step))?;
        }
    }
    Ok(steps.iter().zip(pairs).map(|(step, pairs)| row(step, &pairs.rows())).collect())
}

/// The row of a step, from the rows of its servers.
fn row(step: &Step, servers: &[Row]) -> Row {
    let ratio = |row: &Row| row.ratios.iter().map(|ratios| ratios[COST]).collect();
    let [floor, again, tokio, reactor] = servers else { unreachable!("there are four servers") };
    let busy = servers.iter().flat_map(|row| row.column(LOAD_BUSY)).collect();
    let columns: [Vec<f64>; COLUMNS.len()] =
        [floor.column(COST), tokio.column(COST), reactor.column(COST), ratio(again), ratio(reactor), busy];
    let runs = columns.iter().map(Vec::len).max().unwrap_or(0);
    let value = |column: &Vec<f64>, run: usize| column.get(run).copied().unwrap_or(f64::NAN);
    let pairs = servers.iter().filter_map(|row| row.pairs).reduce(|one, other| Quality {
        used: one.used.min(other.used),
        dropped: one.dropped + other.dropped,
        is_disturbed: one.is_disturbed || other.is_disturbed,
    });
    Row {
        name: step.name.clone(),
        rounds: (0..runs).map(|run| columns.iter().map(|column| value(column, run)).collect()).collect(),
        ratios: Vec::new(),
        pairs,
    }
}

/// A run without a cost is repeated if it was disturbed.
fn sample(lab: &Lab, server: &Server, step: &Step) -> Result<Run> {
    let run = watched(Cores::Two, || cost(lab, server, step))?;
    if run.values[COST].is_nan() && run.is_clean() {
        let why = "a long run had no more requests than a short one: the span is too short";
        return Failure::because(format!("at {}: {why}", step.name));
    }
    Ok(run)
}

/// Microseconds of processor time per additional request: a run less a short run, so that connecting and closing, equal
/// in both, cancel out. Their remaining noise is small, since runs are longer for more connections. NaN if the long run
/// had no more requests.
fn cost(lab: &Lab, server: &Server, step: &Step) -> Result<Vec<f64>> {
    let (short_time, short) = run(lab, server, SHORT, step)?;
    let (time, found) = run(lab, server, lab.span * (1 + step.connections / 1000), step)?;
    let time = time.saturating_sub(short_time).as_secs_f64();
    let requests = found.requests - short.requests;
    let cost = if time > 0.0 && requests > 0.0 { 1e6 * time / requests } else { f64::NAN };
    Ok(vec![cost, found.busy])
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
