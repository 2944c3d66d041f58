//! One client and its questions.

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::Verdict;
use crate::peer::{PENDING_BYTES, Reading, Room};
use crate::protocol::Protocol;
use crate::trial::Trial;

const MANY_QUESTIONS: usize = 1000;
const GLUED_QUESTIONS: usize = 500;
const BURST_BYTES: usize = 1024 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    demand("first", "the first question of each client is answered", Protocol::TALKING, first),
    demand("answers", "a client is answered, and may ask again", Protocol::TALKING, answers),
    demand("steady", "a connection is still answered after 1000 questions", Protocol::ASKED, steady),
    demand("glued", "500 questions in one write get 500 answers, in order", Protocol::STREAMS, glued),
    demand("split", "a question may come in pieces, down to single bytes", Protocol::STREAMS, split),
    demand("burst", "a megabyte of questions at once is answered completely", Protocol::STREAMS, burst),
    demand(
        "late-reader",
        "a client that reads late gets all answers, whole and in order",
        Protocol::STREAMS,
        late_reader,
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

fn first(trial: &Trial) -> Verdict {
    trial.a_client_is_served()?;
    trial.others_are_served("one client has been served and has left, and another one asks")
}

fn answers(trial: &Trial) -> Verdict {
    let mut client = trial.connect()?;
    trial.ask(&mut client)?;
    if trial.protocol == Protocol::Time {
        // The server sends the time once, and then waits for the client to close.
        client.send(b"whatever")?;
        client.finish()?;
        return client.expect_end();
    }
    trial.ask(&mut client)
}

fn steady(trial: &Trial) -> Verdict {
    let mut client = trial.connect()?;
    (0..MANY_QUESTIONS).try_for_each(|_| trial.ask(&mut client))
}

fn glued(trial: &Trial) -> Verdict {
    let mut client = trial.answered_client()?;
    let questions: Vec<_> = (0..GLUED_QUESTIONS).flat_map(|number| trial.protocol.question(number)).collect();
    let answers: Vec<_> = (0..GLUED_QUESTIONS).flat_map(|number| trial.protocol.answer(number)).collect();
    client.send(&questions)?;
    client.expect(&answers)
}

fn split(trial: &Trial) -> Verdict {
    let mut client = trial.answered_client()?;
    let [first, second, third] = [1, 2, 3].map(|number| trial.protocol.question(number));
    let [one, two, three] = [1, 2, 3].map(|number| trial.protocol.answer(number));
    // The first answer shows that the first half of the second question has been read.
    let half = second.len() / 2;
    client.send(&[&first, &second[..half]].concat())?;
    client.expect(&one)?;
    client.send(&second[half..])?;
    client.expect(&two)?;
    third.iter().try_for_each(|byte| client.send(&[*byte]))?;
    client.expect(&three)
}

fn burst(trial: &Trial) -> Verdict {
    let (questions, answers) = trial.protocol.questions(BURST_BYTES);
    let mut client = trial.answered_client()?;
    client.exchange(&questions, false, &answers, Reading::AtOnce)
}

fn late_reader(trial: &Trial) -> Verdict {
    let (questions, answers) = trial.protocol.questions(PENDING_BYTES);
    let mut client = trial.connect_with(Room::Little)?;
    client.exchange(&questions, false, &answers, Reading::Late)
}
