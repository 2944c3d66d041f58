//! The rules of `docs/protocols.md` for one protocol.

use crate::client::url::Transport;
use crate::demand::{Demand, Need};
use crate::miss::{Miss, Verdict, excerpt};
use crate::peer::in_words;
use crate::protocol::Protocol;
use crate::trial::Trial;

/// More than any answer here.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) const DEMANDS: &[Demand] = &[
    sum("other-members", "unknown members are ignored, and names may be in lower case", |trial| {
        answered(trial, br#"{"x":[{}],"b":1,"a":2}"#, &["{\"Sum\":3}"])
    }),
    sum("wrong-value", "a value that is not a request gets an error line, and the connection stays open", |trial| {
        answered(trial, br#"[1]{"A":1.0,"B":2}{"A":1,"A":1,"B":2}{"A":1,"B":2}"#, &[ERROR, ERROR, ERROR, "{\"Sum\":3}"])
    }),
    sum("overflow", "a sum that does not fit into 64 bits is refused", |trial| {
        answered(trial, br#"{"A":9223372036854775807,"B":1}"#, &[OVERFLOW])
    }),
    sum("cut-short", "a FIN in the middle of a request gets an error line", |trial| {
        answered(trial, br#"{"A":1,"#, &[ERROR])
    }),
    sum("too-long", "a request of more than 4 KiB gets an error line, then the end", |trial| {
        answered(trial, &[br#"{"A":1,"#, &[b' '; 5000][..]].concat(), &[ERROR])
    }),
    Demand {
        transport: Transport::Udp,
        ..sum("overflow", "a sum that does not fit into 64 bits is refused", |trial| {
            let question = br#"{"A":9223372036854775807,"B":1}"#;
            trial.asker()?.exchange(question, format!("{OVERFLOW}\n").as_bytes(), &[])
        })
    },
    uppercase(
        "unicode",
        "letters of all languages are upper-cased, and bytes that are not UTF-8 pass unchanged",
        |trial| {
            answered_exactly(trial, "straße ñandú\n".as_bytes(), "STRASSE ÑANDÚ\n".as_bytes())?;
            answered_exactly(trial, b"a\xff\xc3", b"A\xff\xc3")
        },
    ),
    uppercase("torn", "the bytes of a letter may arrive in pieces", torn),
    uppercase("exit", "a line that is exactly exit ends the connection, unanswered", |trial| {
        answered_exactly(trial, b"EXIT\nexit now\nexit\nmore", b"EXIT\nEXIT NOW\n")
    }),
];

/// How an error line begins.
const ERROR: &str = "{\"Error\":";
const OVERFLOW: &str = "{\"Error\":\"sum overflows\"}";

const fn sum(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    let protocols = &[Protocol::Sum];
    Demand { name, text, protocols, transport: Transport::Tcp, need: Need::Nothing, is_fine: true, run }
}

const fn uppercase(name: &'static str, text: &'static str, run: fn(&Trial) -> Verdict) -> Demand {
    Demand { protocols: &[Protocol::Uppercase], ..sum(name, text, run) }
}

fn torn(trial: &Trial) -> Verdict {
    let mut client = trial.answered_client()?;
    let (question, answer) = (trial.protocol.question(1), trial.protocol.answer(1));
    // The answer shows that the first half of the letter has been read.
    client.send(&[&question, &b"stra\xc3"[..]].concat())?;
    client.expect(&answer)?;
    client.send(b"\x9fe\n")?;
    client.expect(b"STRASSE\n")
}

/// Sends bytes with FIN, and expects lines that begin like `expected`, then the end.
fn answered(trial: &Trial, sent: &[u8], expected: &[&str]) -> Verdict {
    let got = converse(trial, sent)?;
    let lines: Vec<_> = got.split_inclusive(|byte| *byte == b'\n').collect();
    let fits = |(line, start): (&&[u8], &&str)| line.starts_with(start.as_bytes()) && line.ends_with(b"\n");
    if lines.len() == expected.len() && lines.iter().zip(expected).all(fits) {
        return Ok(());
    }
    Err(Miss::new(excerpt(sent), excerpt(&got), format!("lines that begin with {}", expected.join(", "))))
}

fn answered_exactly(trial: &Trial, sent: &[u8], expected: &[u8]) -> Verdict {
    let got = converse(trial, sent)?;
    if got == expected {
        return Ok(());
    }
    Err(Miss::new(excerpt(sent), excerpt(&got), excerpt(expected)))
}

/// Sends bytes with FIN, and returns all that comes up to the end.
fn converse(trial: &Trial, sent: &[u8]) -> Result<Vec<u8>, Miss> {
    let mut client = trial.connect()?;
    client.send_with_fin(sent)?;
    let (got, end) = client.rest(ANSWER_BYTES_MAX);
    end.map_or(Ok(got), |error| Err(Miss::new(excerpt(sent), in_words(&error), "the end")))
}
