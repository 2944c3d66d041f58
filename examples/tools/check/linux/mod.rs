//! Demands that take permission to watch the server's process and to send it signals.

mod fair;
mod leave;
mod process;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::process::Process;
use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict};
use crate::peer::{PENDING_BYTES, Room, left};
use crate::protocol::Protocol;
use crate::trial::Trial;

/// The span over which processor time is measured.
const SPAN: Duration = Duration::from_millis(500);

/// More than a runtime needs for its housekeeping, and far less than a loop that does not wait.
const REST_MAX: Duration = Duration::from_millis(50);
/// A longer span, and half of it: more than a server needs that tries to accept again now and then on a busy machine.
const LONG_SPAN: Duration = Duration::from_millis(1500);
const PAUSES_MAX: Duration = Duration::from_millis(750);

/// Clients that connect together, and descriptors when these must be too few.
const CLIENTS: usize = 20;
const PLACES: u64 = 5;

/// How often a server is stopped and continued.
const ROUNDS: usize = 3;

/// All of them; last those that end the server.
pub(crate) fn demands() -> impl Iterator<Item = &'static Demand> {
    fair::DEMANDS.iter().chain(DEMANDS).chain(leave::DEMANDS)
}

const DEMANDS: &[Demand] = &[
    demand(
        "rest",
        "with nothing to do it uses no processor time, even with clients connected",
        Protocol::ALL,
        Transport::Tcp,
        rest,
    ),
    demand("rest", "with nothing to do it uses no processor time", &[Protocol::Sum], Transport::Udp, rest_of_datagrams),
    demand("stopped", "a server that was stopped goes on when it is continued", Protocol::ALL, Transport::Tcp, stopped),
    demand(
        "stopped",
        "a server that was stopped goes on when it is continued",
        &[Protocol::Sum],
        Transport::Udp,
        stopped,
    ),
    demand(
        "crowd",
        "clients that connect while the server is stopped are all served",
        Protocol::ALL,
        Transport::Tcp,
        crowd,
    ),
    demand(
        "descriptors",
        "clients for which no descriptor is left are served once one is free",
        // A file needs a descriptor of its own.
        Protocol::TALKING,
        Transport::Tcp,
        descriptors,
    ),
    demand(
        "full",
        "while clients wait for a descriptor it uses no processor time",
        Protocol::TALKING,
        Transport::Tcp,
        full,
    ),
];

const fn demand(
    name: &'static str,
    text: &'static str,
    protocols: &'static [Protocol],
    transport: Transport,
    run: fn(&Trial) -> Verdict,
) -> Demand {
    Demand { name, text, protocols, transport, need: Need::Process, is_fine: false, run }
}

fn rest(trial: &Trial) -> Verdict {
    idles(trial, "no client is connected", SPAN, REST_MAX)?;
    let _idle = trial.answered_client()?;
    idles(trial, "a client is connected and silent", SPAN, REST_MAX)?;
    let mut client = trial.answered_client()?;
    let question = trial.protocol.question(trial.number());
    client.send(&question[..question.len() / 2])?;
    idles(trial, "a client is in the middle of a question", SPAN, REST_MAX)?;
    if Protocol::STREAMS.contains(&trial.protocol) {
        let mut deaf = trial.connect_with(Room::Little)?;
        deaf.send_until_stuck(&trial.protocol.questions(64 * 1024).0, PENDING_BYTES);
        idles(trial, "a client does not read the answers", SPAN, REST_MAX)?;
    }
    Ok(())
}

fn rest_of_datagrams(trial: &Trial) -> Verdict {
    trial.asker()?.ask()?;
    idles(trial, "no client asks", SPAN, REST_MAX)
}

/// Expects a span, within the deadline, in which the server wants the processor for `most` of it at most.
fn idles(trial: &Trial, when: &'static str, span: Duration, most: Duration) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    loop {
        let before = process.wanted();
        let start = Instant::now();
        while let Some(rest) = span.checked_sub(start.elapsed()) {
            thread::park_timeout(rest);
        }
        let wanted = process.wanted().saturating_sub(before);
        if wanted <= most {
            return Ok(());
        }
        if left(trial.deadline).is_err() {
            let got = format!("the server ran, or waited to run, for {wanted:.0?} of {span:?}");
            return Err(Miss::new("nothing", got, "a server that waits").when(when));
        }
    }
}

fn stopped(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    for _ in 0..ROUNDS {
        // Stopped in the middle of a wait, if it waits.
        process.settle(SPAN);
        process.stop(trial.deadline)?;
        process.proceed()?;
        trial.others_are_served("the server was stopped and continued (SIGSTOP, SIGCONT), and a client asks")?;
    }
    Ok(())
}

fn crowd(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    process.settle(SPAN);
    process.stop(trial.deadline)?;
    // The kernel completes the connections, up to the backlog.
    let clients: Result<Vec<_>, _> = (0..CLIENTS).map(|_| trial.connect()).collect();
    process.proceed()?;
    let got = "clients connected while the server was stopped, it was continued, and each client asks";
    clients?.iter_mut().try_for_each(|client| trial.ask(client)).map_err(|miss| miss.when(got))
}

fn descriptors(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    trial.a_client_is_served()?;
    let limit = process.limit_descriptors(PLACES)?;
    let clients: Result<Vec<_>, _> = (0..CLIENTS).map(|_| trial.connect()).collect();
    // It has to reach the limit before the first client leaves.
    process.settle(SPAN);
    // Each closes when it has been served, which frees a descriptor for the next.
    for mut client in clients? {
        let crowd = "more clients are connected than there are descriptors, and they close one by one";
        trial.ask(&mut client).map_err(|miss| miss.when(crowd))?;
    }
    drop(limit);
    trial.others_are_served("descriptors ran out and are free again, and a client asks")
}

fn full(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    trial.a_client_is_served()?;
    let limit = process.limit_descriptors(PLACES)?;
    let clients: Result<Vec<_>, _> = (0..CLIENTS).map(|_| trial.connect()).collect();
    idles(trial, "more clients are connected than there are descriptors", LONG_SPAN, PAUSES_MAX)?;
    drop(clients?);
    drop(limit);
    trial.others_are_served("descriptors ran out and are free again, and a client asks")
}
