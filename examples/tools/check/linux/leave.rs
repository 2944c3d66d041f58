//! How the server ends when it is asked to.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{Client, PENDING_BYTES, Room, in_words, left};
use crate::protocol::Protocol;
use crate::trial::Trial;

pub(crate) const DEMANDS: &[Demand] = &[
    demand("term", "after SIGTERM it sends the answers that are pending, then ends with exit code 0", term),
    demand("term-stuck", "a second SIGTERM ends it even if a client does not read its answers", term_stuck),
];

const fn demand(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    let protocols = Protocol::STREAMS;
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Start, is_fine: false, run }
}

fn term(trial: &Trial) -> Verdict {
    let (Some(process), Some(server)) = (trial.process(), &trial.started) else { return Ok(()) };
    let (questions, answers) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::Little)?;
    client.send_what_fits(&questions);
    wait_for_answers(trial, &client);
    process.terminate()?;
    // A server without a handler has ended by now, and then the connection is reset: the answers show it.
    let _ = client.finish();
    let (got, end) = client.rest(answers.len());
    let sent = "many questions, SIGTERM to the server, and FIN";
    let right = got.iter().zip(&answers).take_while(|(got, right)| got == right).count();
    // The last question was cut by the checker, and may get an error line.
    let right = got[..right].iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    let rest = &got[right..];
    let is_whole = rest.is_empty() || rest.starts_with(b"{\"Error\":");
    if !is_whole || right == 0 || end.is_some() {
        let then = end.map_or_else(|| "the end".to_owned(), |error| in_words(&error));
        let got = format!("{right} bytes of answers, {}, then {then}", excerpt(rest));
        return Err(Miss::new(sent, got, "whole answers to the questions that it has read, then the end"));
    }
    match server.ends_by(trial.deadline) {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Miss::new(sent, format!("the answers, then {status}"), "the answers, then exit code 0")),
        None => Err(Miss::new(sent, "the answers, and a server that goes on", "the answers, then exit code 0")),
    }
}

/// Waits until answers have come. A slow server may not have accepted the client yet, and then it has no answers pending.
fn wait_for_answers(trial: &Trial, client: &Client) {
    let mut waits = [PollFd::new(client.stream().as_fd(), PollFlags::POLLIN)];
    while let Ok(left) = left(trial.deadline) {
        if poll(&mut waits, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) != Err(Errno::EINTR) {
            return;
        }
    }
}

fn term_stuck(trial: &Trial) -> Verdict {
    let (Some(process), Some(server)) = (trial.process(), &trial.started) else { return Ok(()) };
    let (questions, _) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::Little)?;
    client.send_what_fits(&questions);
    process.terminate()?;
    // Between the two signals the server has to run, or it sees only one.
    process.settle(super::SPAN);
    let _ = process.terminate();
    let sent = "many questions, without reading an answer, and SIGTERM to the server twice";
    let ended = server.ends_by(trial.deadline);
    ended.map(drop).ok_or_else(|| Miss::new(sent, "a server that goes on", "a server that ends"))
}
