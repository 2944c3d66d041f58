//! System calls for each request, as `strace -c` counts them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::lab::Lab;
use super::load::load;
use super::server::{PINNED, Server};
use super::table::{Column, Row, print};
use super::throughput::{over_tcp, over_udp};
use crate::failure::{Failure, Result, tell};

const COLUMNS: [Column; 4] = [
    Column::plain("uppercase, 50 connections", 2),
    Column::plain("sum, 16 at a time", 2),
    Column::plain("connect, request, close", 2),
    Column::plain("UDP, 50 senders", 2),
];
/// Long enough that connecting, which happens once, is done.
const SHORT: Duration = Duration::from_millis(100);
/// The time limit for the tracer to write its counts.
const WRITING: Duration = Duration::from_secs(10);

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let cases: [(&str, &[&str]); 3] = [
        ("uppercase", &["-c", "50", "--size", "64"]),
        ("sum", &["-c", "50", "--size", "64", "--pipeline", "16"]),
        ("sum", &["-c", "50", "--size", "64", "--connect-each"]),
    ];
    let mut rows: Vec<Row> = Vec::new();
    for (protocol, options) in cases {
        for (index, (name, line)) in over_tcp(lab, protocol)?.iter().enumerate() {
            if index == rows.len() {
                rows.push(Row::unpaired(name, vec![Vec::new()]));
            }
            rows[index].rounds[0].push(calls_per_request(lab, protocol, line, options)?);
        }
    }
    rows.iter_mut().for_each(|row| row.rounds[0].push(f64::NAN));
    for (name, line) in &over_udp(lab)? {
        let calls = calls_per_request(lab, "sum", line, &["-c", "50", "--pipeline", "4", "--timeout", "1s"])?;
        match rows.iter_mut().find(|row| row.name == *name) {
            Some(row) => row.rounds[0][3] = calls,
            None => rows.push(Row::unpaired(name, vec![vec![f64::NAN, f64::NAN, f64::NAN, calls]])),
        }
    }
    print("System calls of the server for each request", &COLUMNS, &rows)
}

/// The difference between a long run and a short one, so that calls that happen once do not count.
fn calls_per_request(lab: &Lab, protocol: &str, line: &[String], options: &[&str]) -> Result<f64> {
    tell(format_args!("system calls of {}", line.join(" ")));
    let (calls_at_first, requests_at_first) = traced(lab, protocol, line, options, SHORT)?;
    let (calls, requests) = traced(lab, protocol, line, options, lab.span)?;
    Ok((calls - calls_at_first) / (requests - requests_at_first))
}

fn traced(lab: &Lab, protocol: &str, line: &[String], options: &[&str], span: Duration) -> Result<(f64, f64)> {
    let path = lab.scratch("calls");
    let _ = fs::remove_file(&path);
    let trace = path.display().to_string();
    // With -D the server is our child, and the tracer its grandchild.
    let tracer = ["strace", "-D", "-c", "-f", "-U", "name,calls", "-o", &trace];
    let server = Server::under(&[PINNED, &tracer].concat(), line)?;
    let found = load(lab, protocol, server.url(), span, options)?;
    server.stop()?;
    Ok((total_calls(&path)?, found.requests))
}

/// The tracer writes its table when the server has ended; the last line has the sum.
fn total_calls(path: &Path) -> Result<f64> {
    let since = Instant::now();
    while since.elapsed() < WRITING {
        let text = fs::read_to_string(path).unwrap_or_default();
        let total = text.lines().find_map(|line| line.trim().strip_prefix("total")?.trim().parse().ok());
        if let Some(total) = total {
            return Ok(total);
        }
        // No event reports that the file is complete.
        thread::sleep(Duration::from_millis(10));
    }
    Failure::because("strace has counted nothing")
}
