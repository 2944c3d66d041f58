//! Clients that break the rules, vanish, or never read. They must not affect other clients.

use std::time::Duration;

use super::super::random::Random;
use super::super::settings::Service;
use super::super::tale::BLOCKS_MAX;
use super::{Act, Expectation, Plan, honest};
use crate::protocol::file::OnExisting;

/// The default `idle_timeout`, `request_timeout` and `write_timeout`.
const IDLE: Duration = Duration::from_secs(30);

/// For `linger_timeout`, stalls, and the time before the silence.
const SLACK: Duration = Duration::from_secs(8);

/// Makes the plan of a hostile client of a protocol.
pub(in super::super) fn plan(service: Service, number: usize, existing: OnExisting, random: &mut Random) -> Plan {
    match random.within(0..6) {
        0 => silent(service),
        1 => garbage(service, random),
        2 => drip(service, random),
        3 => never_reads(service, random),
        _ => vanishing(service, number, existing, random),
    }
}

fn new(service: Service, acts: Vec<Act>, expectation: Expectation) -> Plan {
    Plan {
        service,
        acts,
        expectation,
        uploads: Vec::new(),
        honest: false,
        appetite: 1000,
        pace_millis: 20,
        whole: false,
        closed_within: None,
    }
}

/// Connects, and sends nothing. It must get no answer: bytes that it receives belong to another client.
fn silent(service: Service) -> Plan {
    let expectation = if service == Service::Time { Expectation::Time } else { Expectation::Exactly(Vec::new()) };
    let mut plan = new(service, vec![Act::End], expectation);
    plan.closed_within = Some(IDLE + SLACK);
    plan
}

fn garbage(service: Service, random: &mut Random) -> Plan {
    // No file name begins like this, so nothing is stored.
    let mut bytes = b"../".to_vec();
    let printable = random.flip();
    let byte = |random: &mut Random| if printable { b' ' + random.within(0..95) as u8 } else { random.next() as u8 };
    bytes.extend((0..random.pick(&[1, 100, 10_000])).map(|_| byte(random)));
    let mut acts = vec![Act::Send(bytes)];
    acts.extend(last_act(random));
    new(service, acts, Expectation::Anything)
}

/// Sends one byte after the other, each just in time, and never completes a request.
fn drip(service: Service, random: &mut Random) -> Plan {
    let mut acts = Vec::new();
    for byte in "{\"not a size\":[".bytes().cycle().take(random.within(1..60)) {
        acts.push(Act::Send(vec![byte]));
        acts.push(Act::Pause(random.millis(5000)));
    }
    if random.flip() {
        acts.push(Act::Reset);
    }
    let mut plan = new(service, acts, Expectation::Anything);
    // Its request never ends, so its time counts from the first byte.
    plan.closed_within = (service == Service::Sum).then_some(IDLE + SLACK);
    plan
}

/// Sends many requests, and never reads the answers.
fn never_reads(service: Service, random: &mut Random) -> Plan {
    let request: &[u8] = match service {
        Service::Sum => b"{\"A\":1,\"B\":2}",
        // The style of `file-sized` is fixed by this, and the next line is refused.
        Service::File | Service::FileSized => b"../\n",
        Service::Tale => random.pick(&[&[b'j', BLOCKS_MAX], &[b'm', BLOCKS_MAX], &[b't', BLOCKS_MAX]]),
        _ => "ask and ask \u{149}\n".as_bytes(),
    };
    let mut plan =
        new(service, vec![Act::Send(request.repeat(random.pick(&[10, 1000, 40_000])))], Expectation::Anything);
    plan.appetite = 0;
    plan
}

/// Begins as an honest client, and stops in the middle.
fn vanishing(service: Service, number: usize, existing: OnExisting, random: &mut Random) -> Plan {
    let mut plan = honest::plan(service, number, existing, random);
    plan.honest = false;
    plan.acts.truncate(random.within(0..plan.acts.len()) + 1);
    if let Some(Act::Send(bytes)) = plan.acts.last_mut() {
        // A truncated name would be another name: it stays whole.
        let whole = service.head(bytes);
        if whole < bytes.len() {
            bytes.truncate(random.within(whole..bytes.len()));
        }
    }
    let last = match service {
        // A FIN in the middle would make a complete file of the part, as it should.
        Service::File => random.flip().then_some(Act::Reset),
        _ => last_act(random),
    };
    plan.acts.extend(last);
    plan.expectation = Expectation::Anything;
    for upload in &mut plan.uploads {
        upload.confirmed_at = None;
    }
    plan
}

fn last_act(random: &mut Random) -> Option<Act> {
    random.pick(&[None, Some(0), Some(1), Some(2)]).map(|act| match act {
        0 => Act::Reset,
        1 => Act::Close,
        _ => Act::Finish,
    })
}

/// The longest time that a hostile client keeps acting.
pub(in super::super) const PATIENCE: Duration = Duration::from_secs(300);
