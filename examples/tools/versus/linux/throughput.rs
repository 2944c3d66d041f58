//! Requests per second, and the cost of each.

use serde_json::json;

use super::foreign::Cores;
use super::lab::Lab;
use super::load::load;
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, print};
use crate::failure::Result;

pub(crate) const COLUMNS: [Column; 6] = [
    Column::compared("requests/s", 0),
    Column::compared("CPU µs/request", 2),
    Column::compared("p99 µs", 0),
    Column::plain("server busy %", 0),
    Column::load(),
    Column::plain("errors", 0),
];

/// A server that takes part, by its name and its command line.
pub(crate) type Contender = (&'static str, Vec<String>);

pub(crate) fn one_at_a_time(lab: &Lab, protocol: &str) -> Result<()> {
    for connections in ["50", "1000"] {
        let title = format!("{protocol}, 64 bytes, one at a time, {connections} connections");
        run(lab, &title, protocol, &over_tcp(lab, protocol)?, &["-c", connections, "--size", "64"])?;
    }
    Ok(())
}

/// What `busy_poll` gains for one client that waits for each answer.
pub(crate) fn spinning(lab: &Lab) -> Result<()> {
    let spinning =
        json!({ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "uppercase" }], "busy_poll": "50us" });
    let contenders =
        [("reactor", lab.reactor(&[("uppercase", "tcp")])?), ("reactor, busy_poll 50us", lab.configured(&spinning)?)];
    run(lab, "uppercase, 64 bytes, one at a time, 1 connection", "uppercase", &contenders, &["-c", "1", "--size", "64"])
}

pub(crate) fn pipelined(lab: &Lab) -> Result<()> {
    for protocol in ["uppercase", "sum"] {
        let title = format!("{protocol}, 64 bytes, 16 at a time, 50 connections");
        let options = ["-c", "50", "--size", "64", "--pipeline", "16"];
        run(lab, &title, protocol, &over_tcp(lab, protocol)?, &options)?;
    }
    Ok(())
}

pub(crate) fn connect_each(lab: &Lab) -> Result<()> {
    let options = ["-c", "50", "--size", "64", "--connect-each"];
    let title = "sum, connect, one request, close, 50 at a time";
    run(lab, title, "sum", &over_tcp(lab, "sum")?, &options)
}

pub(crate) fn udp(lab: &Lab) -> Result<()> {
    // At most as many at a time as the kernel's default receive buffer holds, so that few are lost. A lost datagram
    // must not delay the client for long.
    let options = ["--size", "64", "--timeout", "200ms", "-c", "50", "--pipeline", "4"];
    run(lab, "sum over UDP, 64 bytes, 50 senders, 4 datagrams each at a time", "sum", &over_udp(lab)?, &options)
}

/// The cost of the X-ray recorder, on and off.
pub(crate) fn recorded(lab: &Lab) -> Result<()> {
    let off = lab.reactor(&[("uppercase", "tcp")])?;
    let file = lab.scratch("xray.txt").display().to_string();
    let on = [off.clone(), vec!["--xray".to_owned(), file]].concat();
    let contenders = [("recorder off", off), ("recorder on", on)];
    for (title, pipeline) in [("one at a time", "1"), ("16 at a time", "16")] {
        let title = format!("The X-ray: uppercase, 64 bytes, {title}, 50 connections");
        run(lab, &title, "uppercase", &contenders, &["-c", "50", "--size", "64", "--pipeline", pipeline])?;
    }
    Ok(())
}

pub(crate) fn over_tcp(lab: &Lab, protocol: &str) -> Result<Vec<Contender>> {
    Ok(vec![
        ("bare epoll", lab.peer(&["bare", protocol])),
        ("tokio, one thread", lab.peer(&["tokio", protocol])),
        ("thread each", lab.peer(&["threads", protocol])),
        ("reactor", lab.reactor(&[(protocol, "tcp")])?),
    ])
}

pub(crate) fn over_udp(lab: &Lab) -> Result<Vec<Contender>> {
    Ok(vec![
        ("recvmmsg + sendmmsg", lab.peer(&["datagram-batch"])),
        ("recvfrom + sendto", lab.peer(&["datagram-each"])),
        ("reactor", lab.reactor(&[("sum", "udp")])?),
    ])
}

/// Servers to compare, by name. The first is the floor and takes part twice: *the same again* is measured like every
/// other server, so its ratio is noise.
pub(crate) fn start(contenders: &[Contender]) -> Result<(Vec<&'static str>, Vec<Server>)> {
    let (first, others) = contenders.split_at(1);
    let again = [("the same again", first[0].1.clone())];
    let (mut names, mut servers) = (Vec::new(), Vec::new());
    for (name, line) in first.iter().chain(&again).chain(others) {
        names.push(*name);
        servers.push(Server::start(line)?);
    }
    Ok((names, servers))
}

fn run(lab: &Lab, title: &str, protocol: &str, contenders: &[Contender], options: &[&str]) -> Result<()> {
    let (names, servers) = start(contenders)?;
    let rows = paired(title, lab.rounds, &names, Cores::Two, |index| sample(lab, protocol, &servers[index], options))?;
    print(title, &COLUMNS, &rows)
}

/// The processor time includes connecting, once for each connection; the requests include the first ones, too.
pub(crate) fn sample(lab: &Lab, protocol: &str, server: &Server, options: &[&str]) -> Result<Vec<f64>> {
    let before = server.processor_time()?;
    let found = load(lab, protocol, server.url(), lab.span, options)?;
    let used = server.processor_time()?.saturating_sub(before).as_secs_f64();
    let busy = 100.0 * used * found.rate / found.requests;
    Ok(vec![found.rate, 1e6 * used / found.requests, found.p99_us, busy, found.busy, found.errors])
}
