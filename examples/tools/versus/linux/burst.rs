//! A deep queue of datagrams, every time: the server is stopped until all of them have arrived.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use super::foreign::Cores;
use super::lab::Lab;
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, print};
use super::throughput::{over_udp, start};
use crate::failure::{Context as _, Failure, Result};

/// As many as the default receive buffer of a socket holds, with a margin (`socket(7)`: `rmem_default`).
const QUEUE: usize = 200;
const REQUEST: &[u8] = b"{\"A\":1234567,\"B\":7654321}";
const ANSWER: &[u8] = b"{\"Sum\":8888888}\n";
/// No datagram is lost here, so an answer that has not come after this time never comes.
const ANSWERING: Duration = Duration::from_secs(5);
const COLUMNS: [Column; 1] = [Column::compared("CPU µs/request", 2)];

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    for (senders, who) in [(50, "50 senders"), (1, "one sender")] {
        let title = format!("sum over UDP, bursts of {QUEUE} datagrams from {who}");
        let (names, servers) = start(&over_udp(lab)?)?;
        let rows = paired(&title, lab.rounds, &names, Cores::Two, |index| sample(lab, &servers[index], senders))?;
        print(&title, &COLUMNS, &rows)?;
    }
    Ok(())
}

fn sample(lab: &Lab, server: &Server, senders: usize) -> Result<Vec<f64>> {
    let sockets: Result<Vec<_>> = (0..senders).map(|_| connect(server)).collect();
    let sockets = sockets?;
    let before = server.processor_time()?;
    let since = Instant::now();
    let mut requests = 0;
    while since.elapsed() < lab.span {
        server.pause()?;
        for index in 0..QUEUE {
            sockets[index % senders].send(REQUEST).context("cannot send")?;
        }
        server.resume()?;
        for index in 0..QUEUE {
            let mut answer = [0; ANSWER.len() + 1];
            let length = sockets[index % senders].recv(&mut answer).context("no answer")?;
            if &answer[..length] != ANSWER {
                return Failure::because("a wrong answer");
            }
        }
        requests += QUEUE;
    }
    let used = server.processor_time()?.saturating_sub(before).as_secs_f64();
    Ok(vec![1e6 * used / requests as f64])
}

fn connect(server: &Server) -> Result<UdpSocket> {
    let address = server.address()?;
    let connected = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.set_read_timeout(Some(ANSWERING))?;
        Ok(socket)
    });
    connected.context("cannot make a socket")
}
