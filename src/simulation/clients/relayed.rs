//! Clients that are relayed to another end, which sends every byte back.

use std::time::Duration;

use super::super::other_ends::Fate;
use super::super::random::Random;
use super::super::settings::Service;
use super::{Act, Expectation, Plan};

/// Makes the plan of a client, for which connects have these fates.
pub(in super::super) fn plan(fates: &[Fate], random: &mut Random) -> Plan {
    let most = random.pick(&[1, 100, 5000, 100_000]);
    // Letters, so that no prefix is an answer that there is no server.
    let sent: Vec<u8> = (0..random.within(0..most)).map(|_| b'a' + random.within(0..26) as u8).collect();
    let mut acts = Vec::new();
    if random.flip() {
        acts.push(Act::Send(sent.clone()));
    } else {
        let (first, rest) = sent.split_at(sent.len() / 2);
        acts.extend([Act::Send(first.to_vec()), Act::Pause(random.millis(2000)), Act::Send(rest.to_vec())]);
    }
    let end = random.within(0..8);
    match end {
        0 => acts.push(Act::Reset),
        1 => acts.push(Act::Close),
        // Another end that does not finish must not keep the client.
        _ => acts.extend([Act::Pause(Duration::ZERO), Act::Finish, Act::End, Act::Close]),
    }
    let is_deaf = random.strikes(150);
    let resets = fates.iter().find(|fate| matches!(fate, Fate::Echoes | Fate::Resets)) == Some(&Fate::Resets);
    Plan {
        service: Service::Relay,
        acts,
        expectation: Expectation::Echo { sent, is_there: fates.contains(&Fate::Echoes) },
        uploads: Vec::new(),
        honest: end > 1 && !is_deaf && !resets,
        appetite: if is_deaf { 0 } else { random.pick(&[2000, 64 * 1024]) },
        pace_millis: random.pick(&[0, 1, 10, 60]),
        whole: false,
        closed_within: None,
    }
}
