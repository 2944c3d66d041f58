//! Clients that keep the rules, and a model of the answer that each must get.
//!
//! The model shares no code with the server: it follows `docs/protocols.md`, from the client's side.

use std::time::Duration;

use super::super::random::Random;
use super::super::settings::Service;
use super::super::tale::blocks;
use super::{Act, Expectation, Plan, Upload};
use crate::protocol::file::OnExisting;

/// Makes the plan of an honest client of a protocol.
pub(in super::super) fn plan(service: Service, number: usize, existing: OnExisting, random: &mut Random) -> Plan {
    let mut plan = match service {
        Service::Sum => sum(random),
        Service::Uppercase => uppercase(random),
        Service::File => file(number, existing, random),
        Service::FileSized => file_sized(number, existing, random),
        Service::Time => time(random),
        Service::Greeting => greeting(random),
        Service::Tale => tale(random),
        Service::Gossip => super::gossip::plan(random),
        Service::Relay => super::relayed::plan(&[], random),
        Service::Guarded => super::guarded::plan([10, 0, 0, 1].into(), true),
    };
    plan.pace_millis = random.pick(&[0, 1, 10, 60]);
    if random.strikes(200) {
        // A slow reader, but fast enough for the server's deadlines.
        let bytes = match &plan.expectation {
            Expectation::Exactly(bytes) => bytes.len(),
            _ => 0,
        };
        plan.appetite = (bytes / random.pick(&[20, 20, 100])).clamp(5, 5000);
        plan.pace_millis = 300;
    }
    plan
}

fn new(service: Service, acts: Vec<Act>, expected: Vec<u8>) -> Plan {
    Plan {
        service,
        acts,
        expectation: Expectation::Exactly(expected),
        uploads: Vec::new(),
        honest: true,
        appetite: 64 * 1024,
        pace_millis: 1,
        whole: false,
        closed_within: None,
    }
}

fn tale(random: &mut Random) -> Plan {
    let (mut asked, mut expected) = (Vec::new(), Vec::new());
    for _ in 0..random.within(1..4) {
        let count = random.pick(&[1, 5, 10]);
        asked.extend([random.pick(b"jmt"), count]);
        expected.extend(blocks(count));
    }
    // A FIN would end an answer that a timer sends.
    let whole = Act::Await(expected.len());
    new(Service::Tale, vec![Act::Send(asked), whole, Act::Finish, Act::End, Act::Close], expected)
}

fn request(random: &mut Random) -> (String, String) {
    let mut number = || match random.within(0..10) {
        0 => i64::MAX,
        1 => i64::MIN,
        2..=6 => random.within(0..200_000) as i64 - 100_000,
        _ => random.next() as i64,
    };
    let (a, b) = (number(), number());
    let text = match random.within(0..6) {
        0 => format!("{{\"B\":{b},\"A\":{a}}}"),
        1 => format!(" {{ \"a\" : {a} ,\r\n \"b\" : {b} }}\n"),
        2 => format!("{{\"x\":[{{}},\"}}\"],\"A\":{a},\"B\":{b}}}"),
        _ => format!("{{\"A\":{a},\"B\":{b}}}"),
    };
    let answer = match a.checked_add(b) {
        Some(sum) => format!("{{\"Sum\":{sum}}}\n"),
        None => "{\"Error\":\"sum overflows\"}\n".to_owned(),
    };
    (text, answer)
}

pub(super) fn sum(random: &mut Random) -> Plan {
    let count = random.pick(&[1, 3, 20, 400]);
    let exchanges: Vec<_> = (0..count).map(|_| request(random)).collect();
    let mut expected = Vec::new();
    let mut acts = Vec::new();
    let one_by_one = count <= 20 && random.flip();
    let mut pending = Vec::new();
    for (text, answer) in exchanges {
        expected.extend_from_slice(answer.as_bytes());
        pending.extend_from_slice(text.as_bytes());
        if one_by_one {
            acts.push(Act::Send(std::mem::take(&mut pending)));
            acts.push(Act::Await(expected.len()));
            if random.strikes(200) {
                acts.push(Act::Pause(Duration::from_secs(1)));
            }
        } else if random.strikes(50) {
            acts.push(Act::Urgent);
        }
    }
    if random.strikes(200) {
        // Invalid JSON is answered and ends the connection, whatever follows.
        pending.extend_from_slice(b"!{\"A\":1,\"B\":2} and so on");
        expected.extend_from_slice(b"{\"Error\":\"not JSON at byte 1\"}\n");
        acts.push(Act::Send(pending));
    } else {
        acts.push(Act::Send(pending));
        acts.push(Act::Finish);
    }
    acts.extend([Act::End, Act::Close]);
    new(Service::Sum, acts, expected)
}

pub(super) fn uppercase(random: &mut Random) -> Plan {
    let words = [
        "hello ",
        "stra\u{df}e ",
        "\u{e9}t\u{e9}\n",
        "exi",
        "exit now\n",
        " exit\n",
        "EXIT\n",
        "\u{149}\u{1f80}",
        "x\r\n",
        "\n",
    ];
    let count = random.pick(&[3, 30, 300, 30_000]);
    let mut text = String::from("-");
    for _ in 0..random.within(0..count) {
        text.push_str(random.pick(&words));
    }
    let mut expected = text.to_uppercase().into_bytes();
    let mut acts = Vec::new();
    if random.flip() {
        // The line `exit` is not answered, and nothing after it is read.
        expected.push(b'\n');
        acts.push(Act::Send([text.as_bytes(), b"\nexit\r\nand so on"].concat()));
    } else {
        if random.flip() {
            // Bytes that are not UTF-8 are passed through, also an incomplete code point at the end.
            text.push('.');
            expected.push(b'.');
            acts.push(Act::Send([text.as_bytes(), b"\xff\xe2\x82"].concat()));
            expected.extend_from_slice(b"\xff\xe2\x82");
        } else {
            acts.push(Act::Send(text.into_bytes()));
        }
        acts.push(Act::Finish);
    }
    acts.extend([Act::End, Act::Close]);
    new(Service::Uppercase, acts, expected)
}

fn contents(random: &mut Random) -> Vec<u8> {
    let most = random.pick(&[1, 100, 5000, 50_000, 700_000]);
    let size = random.within(0..most);
    let salt = random.next();
    (0..size).map(|index| (index as u64 ^ salt) as u8).collect()
}

/// Returns the name under which an upload is saved, and the previous contents of that name; `None` if the name exists
/// and is refused. An existing file that is kept counts as an upload that was confirmed earlier.
fn saved_as(
    name: &str,
    existing: OnExisting,
    uploads: &mut Vec<Upload>,
    random: &mut Random,
) -> Option<(String, Option<Vec<u8>>)> {
    if !random.strikes(200) {
        return Some((name.to_owned(), None));
    }
    let old = b"what was there before".to_vec();
    if existing == OnExisting::Replace {
        return Some((name.to_owned(), Some(old)));
    }
    uploads.push(Upload {
        name: name.to_owned(),
        before: Some(old.clone()),
        contents: old,
        confirmed_at: None,
        is_confirmed: true,
    });
    (existing == OnExisting::Number).then(|| (format!("{name} (2)"), None))
}

pub(super) fn file(number: usize, existing: OnExisting, random: &mut Random) -> Plan {
    let name = format!("upload-{number}");
    let bare = random.flip();
    let ending = if bare { "" } else { "\n" };
    let mut plan = new(Service::File, vec![Act::Send(format!("{name}{ending}").into_bytes())], Vec::new());
    plan.whole = bare;
    let Some((saved, before)) = saved_as(&name, existing, &mut plan.uploads, random) else {
        return refused(plan, Vec::new(), &name);
    };
    let contents = contents(random);
    let mut expected = format!("ok{ending}").into_bytes();
    if bare {
        plan.acts.push(Act::Await(expected.len()));
        plan.acts.push(Act::Send(contents.clone()));
    } else {
        plan.acts = vec![Act::Send([name.as_bytes(), b"\n", &contents].concat())];
    }
    // An old client closes at once without reading more.
    let leaves = bare && random.flip();
    if leaves {
        plan.acts.push(Act::Close);
    } else {
        expected.extend_from_slice(format!("saved {saved} {}\n", contents.len()).as_bytes());
        plan.acts.extend([Act::Finish, Act::End, Act::Close]);
    }
    let confirmed_at = (!leaves).then_some(expected.len());
    plan.expectation = Expectation::Exactly(expected);
    plan.uploads.push(Upload { name: saved, before, contents, confirmed_at, is_confirmed: false });
    plan
}

pub(super) fn file_sized(number: usize, existing: OnExisting, random: &mut Random) -> Plan {
    let mut plan = new(Service::FileSized, Vec::new(), Vec::new());
    plan.whole = random.flip();
    let mut expected = Vec::new();
    let mut pending = Vec::new();
    for index in 0..random.within(1..4) {
        let name = format!("sized-{number}-{index}");
        let Some((saved, before)) = saved_as(&name, existing, &mut plan.uploads, random) else {
            pending.extend_from_slice(name.as_bytes());
            pending.extend_from_slice(if plan.whole { b"" } else { b"\n" });
            plan.acts.push(Act::Send(pending));
            return refused(plan, expected, &name);
        };
        let contents = contents(random);
        if plan.whole {
            for part in [name.as_bytes(), contents.len().to_string().as_bytes()] {
                plan.acts.push(Act::Send(part.to_vec()));
                expected.extend_from_slice(b"OK");
                plan.acts.push(Act::Await(expected.len()));
            }
            expected.extend_from_slice(b"OK");
            plan.acts.push(Act::Send(contents.clone()));
            plan.acts.push(Act::Await(expected.len()));
        } else {
            pending.extend_from_slice(format!("{name}\n{}\n", contents.len()).as_bytes());
            pending.extend_from_slice(&contents);
            expected.extend_from_slice(b"OK\nOK\nOK\n");
        }
        let confirmed_at = Some(expected.len());
        plan.uploads.push(Upload { name: saved, before, contents, confirmed_at, is_confirmed: false });
    }
    if !plan.whole {
        plan.acts.push(Act::Send(pending));
    }
    plan.acts.extend([Act::Finish, Act::End, Act::Close]);
    plan.expectation = Expectation::Exactly(expected);
    plan
}

/// Ends a plan at a name that is refused.
fn refused(mut plan: Plan, mut expected: Vec<u8>, name: &str) -> Plan {
    expected.extend_from_slice(format!("error: {name} exists already\n").as_bytes());
    plan.expectation = Expectation::Exactly(expected);
    plan.acts.extend([Act::End, Act::Close]);
    plan
}

pub(super) fn time(random: &mut Random) -> Plan {
    let mut acts = vec![Act::Await("2025-01-01T00:00:00.000000Z\n".len())];
    if random.flip() {
        acts.push(Act::Send(b"what it likes".to_vec()));
    }
    acts.extend([Act::Finish, Act::End, Act::Close]);
    let mut plan = new(Service::Time, acts, Vec::new());
    plan.expectation = Expectation::Time;
    plan
}

pub(super) fn greeting(random: &mut Random) -> Plan {
    let text = b"This is Server\n";
    let mut acts = Vec::new();
    let rounds = random.within(1..5);
    for round in 1..=rounds {
        acts.push(Act::Send(b"hello socket".to_vec()));
        acts.push(Act::Await(round * text.len()));
    }
    acts.extend([Act::Finish, Act::End, Act::Close]);
    let mut plan = new(Service::Greeting, acts, text.repeat(rounds));
    plan.whole = true;
    plan
}
