//! The answers, byte for byte, against those of the model.

use std::net::SocketAddr;
use std::time::{Instant, SystemTime};

use super::*;
use crate::clock::Still;
use crate::outbox::Outbox;
use crate::protocol::Place;
use crate::protocol::Site;
use crate::stats::Tally;
use crate::token::{ConnectionId, Token};

/// Names of members, each spelling of the operands among them.
const NAMES: [&str; 16] = [
    "A", "a", r"\u0041", r"\u0061", "B", "b", r"\u0042", r"\u0062", "", "AB", "C", r"\u0043", r"A\u0000", r"\\u0041",
    r#"\"A"#, "ä",
];

/// Values of members.
const VALUES: [&str; 28] = [
    "0",
    "-0",
    "7",
    "-12",
    "999999999999999999",
    "1000000000000000000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "99999999999999999999999999",
    "1.0",
    "-1.5e+3",
    "1e2",
    "0E0",
    "true",
    "null",
    r#""""#,
    r#""7""#,
    r#""\"A\":1,\\""#,
    r#""}]漢\ud83d\ude00""#,
    "[]",
    "[ 1 , [2], \"]\" ]",
    "{}",
    r#"{"A":1,"B":[{"b":2}]}"#,
    r#"{"}":"{"}"#,
    "[\"\\\\\",{}]",
    "1 ",
];

/// White space that may be between two tokens.
const SPACE: [&str; 6] = ["", "", "", " ", "\n", "\t\r\n "];

/// Returns what a client gets for `text`: one value, followed by nothing that could belong to it.
fn answer_of(connection: &mut Connection, text: &str) -> String {
    let (mut out, mut refused) = (Outbox::default(), Tally::default());
    let address = SocketAddr::from(([192, 0, 2, 1], 4));
    let mut cx = Context {
        out: &mut out,
        now: Instant::now(),
        refused: &mut refused,
        place: &Place {
            id: ConnectionId::of(Token { slot: 0, generation: 1 }),
            site: &Site { name: String::new(), address: address.into() },
            clock: &Still(Instant::now(), SystemTime::UNIX_EPOCH),
        },
        ends: &Script::new(),
    };
    let input = format!("{text}\n");
    let step = connection.on_bytes(input.as_bytes(), &mut cx).unwrap();
    assert_eq!(step.consumed, text.len(), "{text}");
    let answer = String::from_utf8(out.pending().to_vec()).unwrap();
    assert_eq!(refused.total(), u64::from(answer.contains("Error")), "{text}");
    answer
}

/// Compares the answer of a connection, which has answered others before, with the answer of the model.
fn check(connection: &mut Connection, text: &str) {
    assert_eq!(answer_of(connection, text), model::answer(text.as_bytes()), "{text}");
}

#[test]
fn every_value_alone_is_answered_as_by_the_model() {
    let mut connection = Connection::new(usize::MAX);
    for text in VALUES {
        check(&mut connection, text.trim_end());
    }
}

#[test]
fn the_fast_and_slow_way_agree_on_every_object_of_one_or_two_members() {
    let mut connection = Connection::new(usize::MAX);
    check(&mut connection, "{}");
    check(&mut connection, "{ \n}");
    for (first, one) in NAMES.iter().flat_map(|name| VALUES.map(|value| (name, value))) {
        check(&mut connection, &format!(r#"{{"{first}":{one}}}"#));
        for (second, two) in
            NAMES.iter().flat_map(|name| ["4", "1.0", "-9223372036854775808"].map(|value| (name, value)))
        {
            check(&mut connection, &format!(r#"{{"{first}":{one},"{second}":{two}}}"#));
        }
    }
}

#[test]
fn the_fast_and_slow_way_agree_on_any_object() {
    let (mut connection, mut answered) = (Connection::new(usize::MAX), 0);
    for seed in 0..50_000 {
        let mut chance = Chance::new(seed);
        let mut text = String::from("{");
        let members = chance.below(6);
        for index in 0..members {
            text.push_str(if index == 0 { "" } else { "," });
            let [before, after, name_end, value_end] = [(); 4].map(|()| chance.one_of(&SPACE));
            let name = if chance.below(2) == 0 { chance.one_of(&["A", "b"]) } else { chance.one_of(&NAMES) };
            let value = if chance.below(2) == 0 { chance.one_of(&["1", "-2"]) } else { chance.one_of(&VALUES) };
            text.push_str(&format!("{before}\"{name}\"{name_end}:{after}{value}{value_end}"));
        }
        text.push('}');
        check(&mut connection, &text);
        answered += usize::from(model::parse(text.as_bytes()).is_ok());
    }
    assert!((1_000..40_000).contains(&answered), "{answered}");
}
