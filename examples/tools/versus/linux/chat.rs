//! The cost of a line of a chat at one member: `examples/chat.rs`, and the same chat in tokio, which is the floor here.
//!
//! Both are offered the same lines a second, so both deliver the same, unless one of them cannot.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::foreign::Cores;
use super::lab::Lab;
use super::load::{Found, load};
use super::pairs::paired;
use super::server::Server;
use super::table::{Column, print};
use super::throughput::{Contender, start};
use crate::failure::{Failure, Result};

const COLUMNS: [Column; 5] = [
    Column::compared("lines/s at members", 0),
    Column::compared("CPU µs/line", 2),
    Column::compared("p99 µs", 0),
    Column::plain("server busy %", 0),
    Column::load(),
];

/// Members, and lines a second that ten of them say together.
const LOADS: [(&str, &str); 3] = [("100", "500"), ("1000", "50"), ("100", "2k")];

/// A run that is mostly entering and leaving, which costs each member a line of each other one.
const SHORT: Duration = Duration::from_millis(100);
/// Enough lines of the smallest load.
const SPAN_MIN: Duration = Duration::from_secs(2);
/// How long the server may take to notice that the connections are closed.
const CLOSING: Duration = Duration::from_secs(30);

pub(crate) fn measure(lab: &Lab) -> Result<()> {
    let contenders: [Contender; 2] = [("tokio, broadcast", lab.peer(&["chat"])), ("reactor", lab.chat(&config())?)];
    for (members, rate) in LOADS {
        let title = format!("chat, 64 bytes, {members} members, 10 say {rate} lines a second");
        let (names, servers) = start(&contenders)?;
        let rows = paired(&title, lab.rounds, &names, Cores::Two, |index| sample(lab, &servers[index], members, rate))?;
        print(&title, &COLUMNS, &rows)?;
    }
    Ok(())
}

fn config() -> serde_json::Value {
    json!({
        "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "chat" }],
        "limits": { "max_connections": 20_000, "idle_timeout": "10m" },
    })
}

/// The processor time of a run less the time of a short run, so that entering and leaving, equal in both, cancel out.
fn sample(lab: &Lab, server: &Server, members: &str, rate: &str) -> Result<Vec<f64>> {
    let (short_time, short) = run(lab, server, SHORT, members, rate)?;
    let (time, found) = run(lab, server, lab.span.max(SPAN_MIN), members, rate)?;
    let time = time.saturating_sub(short_time).as_secs_f64();
    let lines = found.requests - short.requests;
    let cost = if time > 0.0 && lines > 0.0 { time / lines } else { f64::NAN };
    Ok(vec![found.rate, 1e6 * cost, found.p99_us, 100.0 * cost * found.rate, found.busy])
}

/// The processor time from the first connection to the close of the last one.
fn run(lab: &Lab, server: &Server, span: Duration, members: &str, rate: &str) -> Result<(Duration, Found)> {
    let (before, at_rest) = (server.processor_time()?, server.descriptors()?);
    // Senders do not wait for one another.
    let options = ["-c", members, "--senders", "10", "--rate", rate, "--pipeline", "100", "--timeout", "30s"];
    let found = load(lab, "chat", server.url(), span, &options)?;
    if found.errors > 0.0 {
        return Failure::because(format!("{} errors with {members} members", found.errors));
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
