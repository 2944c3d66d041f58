//! The time from start to `ready`, and the size at rest.

use std::fs;
use std::process::Command;
use std::time::Instant;

use super::lab::Lab;
use super::server::Server;
use super::table::{Column, print, repeat};
use crate::failure::{Context as _, Failure, Result};

const COLUMNS: [Column; 4] = [
    Column::plain("ms to ready", 2),
    Column::plain("resident KiB", 0),
    Column::plain("private KiB", 0),
    Column::plain("program KiB, stripped", 0),
];

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let size = stripped_bytes(lab)? as f64 / 1024.0;
    let line = lab.reactor(&[("uppercase", "tcp"), ("sum", "tcp"), ("sum", "udp"), ("file", "tcp")])?;
    let row = repeat("start", lab.rounds, "reactor, four listeners", || {
        let since = Instant::now();
        let server = Server::under(&[], &line)?;
        let started = since.elapsed().as_secs_f64() * 1000.0;
        let (resident, private) = (server.resident_bytes()? as f64, server.private_bytes()? as f64);
        Ok(vec![started, resident / 1024.0, private / 1024.0, size])
    })?;
    print("From exec to ready, and at rest", &COLUMNS, &[row])
}

fn stripped_bytes(lab: &Lab) -> Result<u64> {
    let stripped = lab.scratch("stripped");
    let status =
        Command::new("strip").arg("-o").arg(&stripped).arg(&lab.reactor).status().context("cannot run strip")?;
    if !status.success() {
        return Failure::because("strip failed");
    }
    Ok(fs::metadata(&stripped).context(stripped.display())?.len())
}
