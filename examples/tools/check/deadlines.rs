//! Deadlines: no client keeps its place without progress.
//!
//! The demands wait for the server's deadline, so they are only tried on a server that has short ones.

use std::time::Duration;

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict};
use crate::peer::{Client, PENDING_BYTES, Room, left};
use crate::protocol::Protocol;
use crate::trial::Trial;

/// The pause between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(100);

pub(crate) const DEMANDS: &[Demand] = &[
    demand("idle", "a client that sends nothing is closed in time", Protocol::STREAMS, idle),
    demand("drip", "a client that sends a byte now and then, but no whole question, is closed in time", SUM, drip),
    demand("unread", "a client that never reads its answers is closed in time", Protocol::STREAMS, unread),
];

const SUM: &[Protocol] = &[Protocol::Sum];

const fn demand(
    name: &'static str,
    text: &'static str,
    protocols: &'static [Protocol],
    run: fn(&Trial) -> Verdict,
) -> Demand {
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Deadlines, is_fine: false, run }
}

fn idle(trial: &Trial) -> Verdict {
    let client = trial.answered_client()?;
    closes(trial, &client, "one question, and nothing for the rest of the time", Client::is_closed_within)
}

fn drip(trial: &Trial) -> Verdict {
    let mut client = trial.answered_client()?;
    let question = trial.protocol.question(1);
    // Blanks may be anywhere in the rest, so the question never ends.
    client.send(&question[..question.len() / 2])?;
    let drips = |client: &Client, span| client.is_reset_within(span, b" ") || client.is_closed_within(span);
    closes(trial, &client, "half a question, and then a byte every 100 ms", drips)
}

fn unread(trial: &Trial) -> Verdict {
    let (questions, _) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::LittleToReceive)?;
    client.send_what_fits(&questions);
    // Its questions fill the server's receive queue, so that the close is a reset.
    let resets = |client: &Client, span| client.is_reset_within(span, b" ");
    closes(trial, &client, "questions, without reading an answer", resets)
}

fn closes(trial: &Trial, client: &Client, sent: &str, is_closed_within: impl Fn(&Client, Duration) -> bool) -> Verdict {
    while let Ok(rest) = left(trial.deadline) {
        if is_closed_within(client, rest.min(DRIP)) {
            return Ok(());
        }
    }
    Err(Miss::new(sent, "a connection that stays open", "the end, or a reset, before the time limit"))
}
