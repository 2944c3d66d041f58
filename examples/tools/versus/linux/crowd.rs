//! The cost of idle connections: memory, and the time of others.

use super::connections;
use super::foreign::Cores;
use super::lab::Lab;
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, Row, print};
use super::throughput::{COLUMNS, sample};
use crate::failure::{Result, tell};

const CROWD: usize = 15_000;

/// The memory of the server's process; what the kernel needs for a socket is the same for all.
pub(crate) fn memory(lab: &Lab) -> Result<()> {
    let contenders = [
        ("bare epoll", lab.peer(&["bare", "uppercase"])),
        ("tokio, one thread", lab.peer(&["tokio", "uppercase"])),
        ("reactor", lab.reactor(&[("uppercase", "tcp")])?),
    ];
    let mut rows = Vec::new();
    for (name, line) in contenders {
        tell(format_args!("memory of {CROWD} connections: {name}"));
        let server = Server::start(&line)?;
        // Memory that the first connection makes the server touch, such as its buffers, is not a cost of each
        // connection.
        let first = connections::open(server.address()?, 1)?;
        let with_one = server.private_bytes()?;
        let crowd = connections::open(server.address()?, CROWD)?;
        let with_crowd = server.private_bytes()?;
        drop((first, crowd));
        let each = with_crowd.saturating_sub(with_one) as f64 / CROWD as f64;
        rows.push(Row::unpaired(name, vec![vec![each]]));
    }
    let title = format!("Memory of the process for each idle connection, of {CROWD}");
    print(&title, &[Column::plain("bytes", 0)], &rows)
}

/// The same 50 busy connections with and without a crowd that waits, each of it with a deadline.
pub(crate) fn beside_idle(lab: &Lab) -> Result<()> {
    for (name, line) in
        [("bare epoll", lab.peer(&["bare", "uppercase"])), ("reactor", lab.reactor(&[("uppercase", "tcp")])?)]
    {
        let title = format!("{name}: 50 busy connections beside {CROWD} idle ones");
        tell(format_args!("{title}: connecting"));
        let servers = [Server::start(&line)?, Server::start(&line)?, Server::start(&line)?];
        let crowd = connections::open(servers[2].address()?, CROWD)?;
        let rows = paired(&title, lab.rounds, &["alone", "the same again", "beside the crowd"], Cores::Two, |index| {
            sample(lab, "uppercase", &servers[index], &["-c", "50", "--size", "64"])
        })?;
        drop(crowd);
        print(&title, &COLUMNS, &rows)?;
    }
    Ok(())
}
