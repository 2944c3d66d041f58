//! One loop for all clients: none costs a thread, and none takes a turn for itself.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use std::{fs, thread};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};

use super::SPAN;
use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{Client, left};
use crate::protocol::Protocol;
use crate::trial::Trial;

/// Clients that stay, and the threads that all of them together may cost: a pool of workers has fewer.
const CLIENTS: usize = 200;
const THREADS_MAX: usize = 64;

/// Enough to fill the receive queue of a server that does not run, in pieces that arrive at once while there is room.
const ROOM_BYTES_MAX: usize = 256 * 1024;
const CHUNK_BYTES: usize = 16 * 1024;
const ARRIVAL: Duration = Duration::from_millis(50);

pub(crate) const DEMANDS: &[Demand] = &[
    demand("threads", "two hundred clients that stay do not cost a thread each", Protocol::STREAMS, threads),
    demand("firehose", "a client with a lot of input waits for one with a single question", &[Protocol::Sum], firehose),
];

const fn demand(
    name: &'static str,
    text: &'static str,
    protocols: &'static [Protocol],
    run: fn(&Trial) -> Verdict,
) -> Demand {
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Process, is_fine: false, run }
}

fn threads(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    trial.a_client_is_served()?;
    let before = process.threads();
    let clients: Result<Vec<_>, _> = (0..CLIENTS).map(|_| trial.answered_client()).collect();
    let _clients = clients?;
    let more = process.threads().saturating_sub(before);
    if more <= THREADS_MAX {
        return Ok(());
    }
    let sent = format!("a question by each of {CLIENTS} clients, which stay");
    Err(Miss::new(sent, format!("{more} threads more"), format!("{THREADS_MAX} threads more at most")))
}

/// The first client sends a lot for which there is no answer (blanks between questions) and then a question; the second
/// one sends a question. All of it is in the server's receive queues when the server begins, so the times at which the
/// answers arrive show which client it has served first.
fn firehose(trial: &Trial) -> Verdict {
    let Some(process) = trial.process() else { return Ok(()) };
    // A client of its own, because a server with short deadlines may close it meanwhile. It stays until the end: the kernel
    // begins to note times some moments after the first socket has asked for them.
    let mut first = timed_client(trial)?;
    process.settle(SPAN);
    process.stop(trial.deadline)?;
    let room = room(&mut first);
    process.proceed()?;

    let mut loud = timed_client(trial)?;
    let mut quiet = timed_client(trial)?;
    let [one, other] = [trial.number(), trial.number()];
    let mut bytes = vec![b' '; room * 3 / 4];
    bytes.extend(trial.protocol.question(one));
    process.settle(SPAN);
    process.stop(trial.deadline)?;
    let sent = loud.send(&bytes).and_then(|()| quiet.send(&trial.protocol.question(other)));
    process.proceed()?;
    sent?;
    let quiet_at = arrival(trial, &quiet, &trial.protocol.answer(other))?;
    let loud_at = arrival(trial, &loud, &trial.protocol.answer(one))?;
    if quiet_at <= loud_at {
        return Ok(());
    }
    let sent = format!("{} KiB of input by one client, and a question by another one", bytes.len() / 1024);
    Err(Miss::new(sent, "the answer to the end of all that input first", "the answer to the single question first"))
}

/// A client that has been answered, and for which the kernel notes when something arrives.
fn timed_client(trial: &Trial) -> Result<Client, Miss> {
    let client = trial.answered_client()?;
    setsockopt(client.stream(), sockopt::ReceiveTimestampns, &true)
        .map_err(|error| Miss::new("nothing", error.to_string(), "times of arrival for the checker"))?;
    Ok(client)
}

/// Fills the receive queue of a server that is stopped. Returns the bytes that it has taken.
fn room(client: &mut Client) -> usize {
    let mut room = 0;
    while room < ROOM_BYTES_MAX && client.send(&[b' '; CHUNK_BYTES]).is_ok() && has_arrived(client, room + CHUNK_BYTES)
    {
        room += CHUNK_BYTES;
    }
    room
}

/// Whether the server's kernel holds these bytes unread, after a while (proc_net(5), `rx_queue` of /proc/net/tcp). A server
/// whose socket is of IPv6 is in the other table, also for a client of IPv4.
fn has_arrived(client: &Client, bytes: usize) -> bool {
    let addresses = client.stream().local_addr().and_then(|own| Ok((own, client.stream().peer_addr()?)));
    let Ok((own, server)) = addresses else { return false };
    let [own, server] = [own, server].map(|address| format!(":{:04X}", address.port()));
    let until = Instant::now() + ARRIVAL;
    while Instant::now() < until {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let mut rows = tables.iter().flat_map(|table| table.lines()).map(|row| row.split_whitespace());
        let unread = rows.find_map(|mut row| {
            let is_it = row.nth(1)?.ends_with(&server) && row.next()?.ends_with(&own);
            let (_, unread) = row.nth(1).filter(|_| is_it)?.split_once(':')?;
            usize::from_str_radix(unread, 16).ok()
        });
        if unread == Some(bytes) {
            return true;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
    false
}

/// Receives an answer. Returns the time at which the kernel received it, since 1970.
fn arrival(trial: &Trial, client: &Client, answer: &[u8]) -> Result<Duration, Miss> {
    let miss = |got: String| Miss::new("a question", got, excerpt(answer));
    let wait = left(trial.deadline).and_then(|left| client.stream().set_read_timeout(Some(left)));
    wait.map_err(|error| miss(error.to_string()))?;
    let mut buffer = [0; 256];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received = recvmsg::<()>(client.stream().as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
    let received = received.map_err(|error| miss(error.to_string()))?;
    let times = received.cmsgs().map_err(|error| miss(error.to_string()))?;
    let at = times.into_iter().find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    let count = received.bytes;
    if &buffer[..count] != answer {
        return Err(miss(excerpt(&buffer[..count])));
    }
    at.ok_or_else(|| miss("no time of arrival".to_owned()))
}
