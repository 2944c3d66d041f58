//! How a conversation ends.

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::{PENDING_BYTES, Reading, Room, in_words};
use crate::protocol::Protocol;
use crate::trial::Trial;

/// Attempts of a client whose result depends on which segments arrive together.
const ROUNDS: usize = 20;

/// Bytes of questions whose answers fit into the kernels' buffers, so that all answers are under way when the server
/// reaches the mistake.
const UNDER_WAY_BYTES: usize = 128 * 1024;

/// Bytes of input that the server need not have read when it refuses.
const UNREAD_BYTES: usize = 64 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    demand("fin", "a question that arrives together with the client's FIN is answered", Protocol::ASKED, fin),
    demand(
        "half-close",
        "after the client's FIN the server answers all its questions, then closes",
        Protocol::STREAMS,
        half_close,
    ),
    demand(
        "refusal",
        "questions before a mistake are answered, then come an error line and the end",
        &[Protocol::Sum],
        refusal,
    ),
];

const fn demand(
    name: &'static str,
    text: &'static str,
    protocols: &'static [Protocol],
    run: fn(&Trial) -> Verdict,
) -> Demand {
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Nothing, is_fine: false, run }
}

fn fin(trial: &Trial) -> Verdict {
    for _ in 0..ROUNDS {
        let mut client = trial.connect()?;
        let number = trial.number();
        client.send_with_fin(&trial.protocol.question(number))?;
        client.expect(&trial.protocol.answer(number))?;
        client.expect_end()?;
    }
    Ok(())
}

fn half_close(trial: &Trial) -> Verdict {
    let (questions, answers) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::Little)?;
    client.exchange(&questions, true, &answers, Reading::Late)?;
    client.expect_end()
}

fn refusal(trial: &Trial) -> Verdict {
    let (questions, answers) = trial.protocol.questions(UNDER_WAY_BYTES);
    let mut bytes = questions;
    bytes.extend(b"oops".repeat(UNREAD_BYTES / 4));
    let mut client = trial.connect_with(Room::Little)?;
    client.exchange(&bytes, true, &answers, Reading::Late)?;
    let (rest, end) = client.rest(UNREAD_BYTES);
    let is_told = rest.starts_with(b"{\"Error\":") && rest.ends_with(b"\n");
    if is_told && end.is_none() {
        return Ok(());
    }
    let then = end.map_or_else(|| "the end".to_owned(), |error| in_words(&error));
    let sent = "many questions, a mistake, and more";
    Err(Miss::new(
        sent,
        format!("the answers, {}, then {then}", excerpt(&rest)),
        "the answers, an error line, then the end",
    ))
}
