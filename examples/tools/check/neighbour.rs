//! Many clients, of which some misbehave: no client may harm another.

use std::thread;
use std::time::Duration;

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{PENDING_BYTES, Room, left};
use crate::protocol::Protocol;
use crate::trial::Trial;

const CLIENTS: usize = 100;

/// How many clients leave before their answer comes; another client then takes the place of each.
const HEIRS: u32 = 20;
const MOMENT: Duration = Duration::from_micros(100);

/// More than the send and receive buffers of both kernels hold (tcp(7): at most `tcp_wmem` here and `tcp_rmem` there,
/// 36 MiB on Linux 6.18), so that the server has taken the rest.
const TAKEN_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    demand("many", "a hundred clients that connect at the same time are all served", Protocol::ALL, many),
    demand(
        "silent",
        "a client that stops in the middle of a question delays no other client",
        Protocol::TALKING,
        silent,
    ),
    demand(
        "stuck-reader",
        "a client that does not read its answers delays no other client",
        Protocol::STREAMS,
        stuck_reader,
    ),
    demand("reset", "a client that resets its connection, at any moment, harms no other client", Protocol::ALL, reset),
    demand(
        "deaf",
        "a client that does not read cannot fill the server's memory or block others",
        Protocol::STREAMS,
        deaf,
    ),
    demand("garbage", "whatever bytes a client sends, other clients are served", Protocol::ALL, garbage),
    demand("heir", "the answer to a client that has left goes to no other client", Protocol::ASKED, heir),
];

const fn demand(
    name: &'static str,
    text: &'static str,
    protocols: &'static [Protocol],
    run: fn(&Trial) -> Verdict,
) -> Demand {
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Nothing, is_fine: false, run }
}

fn many(trial: &Trial) -> Verdict {
    let clients: Result<Vec<_>, _> = (0..CLIENTS).map(|_| trial.connect()).collect();
    let mut clients = clients?;
    let asked = "a hundred clients are connected, and each asks";
    clients.iter_mut().try_for_each(|client| trial.ask(client)).map_err(|miss| miss.when(asked))
}

fn silent(trial: &Trial) -> Verdict {
    let mut client = trial.answered_client()?;
    let number = trial.number();
    let question = trial.protocol.question(number);
    let (first, second) = question.split_at(question.len() / 2);
    client.send(first)?;
    trial.others_are_served("one client is in the middle of a question, and another one asks")?;
    client.send(second)?;
    if trial.protocol == Protocol::Greeting || trial.protocol == Protocol::Time {
        return Ok(());
    }
    client.expect(&trial.protocol.answer(number))
}

fn stuck_reader(trial: &Trial) -> Verdict {
    let (questions, _) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::Little)?;
    client.send_what_fits(&questions);
    trial.others_are_served("one client does not read its answers, and another one asks")?;
    client.reset();
    trial.others_are_served("one client has left without reading its answers, and another one asks")
}

fn deaf(trial: &Trial) -> Verdict {
    #[cfg(target_os = "linux")]
    let watched = trial.process().map(|process| (process.resident_bytes(), process));
    let mut client = trial.connect_with(Room::LittleToReceive)?;
    trial.ask(&mut client)?;
    let (questions, _) = trial.protocol.questions(64 * 1024);
    let taken = client.send_until_stuck(&questions, TAKEN_BYTES_MAX);
    if taken >= TAKEN_BYTES_MAX {
        let got = format!("{} MiB were taken without an end", TAKEN_BYTES_MAX / 1024 / 1024);
        return Err(Miss::new(
            "questions, without reading the answers",
            got,
            "a server that takes no more at some point",
        ));
    }
    if left(trial.deadline).is_err() {
        let got = format!("{} MiB were taken, and more at the time limit", taken / 1024 / 1024);
        return Err(Miss::new("questions, without reading the answers", got, "a server that takes no more by then"));
    }
    #[cfg(target_os = "linux")]
    if let Some((before, process)) = watched {
        let grown = process.resident_bytes().saturating_sub(before);
        if grown > TAKEN_BYTES_MAX {
            let got = format!("the server has grown by {grown} bytes");
            return Err(Miss::new(format!("{taken} bytes, without reading"), got, "memory within a bound"));
        }
    }
    trial.others_are_served("one client does not read its answers, and another one asks")?;
    client.reset();
    trial.others_are_served("one client has left without reading its answers, and another one asks")
}

fn garbage(trial: &Trial) -> Verdict {
    let everything: Vec<u8> = (0..=255).cycle().take(64 * 1024).collect();
    let brackets = b"[".repeat(10_000);
    let nested = [br#"{"A":"#, &brackets[..3000], b"}"].concat();
    let mut texts: Vec<&[u8]> = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03],
        &[0; 1000],
        &[0xff; 1000],
        &brackets,
        &everything,
    ];
    if trial.protocol == Protocol::Sum {
        // JSON whose number is infinite as a float, and brackets that fill the stack of a recursive reader.
        texts.extend([&br#"{"A":1e999,"B":1}"#[..], &nested]);
    }
    for text in texts {
        let mut client = trial.connect()?;
        // The server may refuse it early, even by a reset. Only the other clients matter here.
        let _ = client.send(text).and_then(|()| client.finish());
        let (got, end) = client.rest(1024 * 1024);
        if end
            .is_some_and(|error| matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
        {
            return Err(Miss::new(format!("{}, and FIN", excerpt(text)), excerpt(&got), "an end of any kind"));
        }
        trial.others_are_served("one client has sent garbage, and another one asks")?;
    }
    Ok(())
}

fn heir(trial: &Trial) -> Verdict {
    for round in 0..HEIRS {
        let mut leaves = trial.answered_client()?;
        leaves.send(&trial.protocol.question(trial.number()))?;
        // A server may work on the answer for some time, and each round resets at another moment of it.
        thread::park_timeout(round * MOMENT);
        leaves.reset();
        trial.others_are_served("one client has left before its answer came, and another one asks")?;
    }
    Ok(())
}

fn reset(trial: &Trial) -> Verdict {
    let question = trial.protocol.question(trial.number());
    for bytes in [&[][..], &question[..question.len() / 2], &question.repeat(100)] {
        let mut client = trial.answered_client()?;
        client.send(bytes)?;
        client.reset();
        trial.others_are_served("one client was reset, and another one asks")?;
    }
    Ok(())
}
