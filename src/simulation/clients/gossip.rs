//! Clients that command the members of groups, and check what they receive of casts.

use std::collections::BTreeMap;

use super::super::gossip::{GROUPS, RECORD_BYTES};
use super::super::random::Random;
use super::super::settings::Service;
use super::{Act, Expectation, Plan};

/// What a client has received: complete records, and perhaps the beginning of one.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Records {
    /// Bytes of the records that were checked.
    checked: usize,
    /// The number of the last cast of each sender to each group.
    last: BTreeMap<(u16, u8), u32>,
    /// Casts between two that arrived.
    gaps: u64,
    /// Casts that were reported as missed.
    missed: u64,
    /// Whether it is always a member of the groups that it has joined, so that every gap must be reported.
    stays: bool,
}

impl Records {
    /// Checks the records that have arrived since the last call.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(in super::super) fn check(&mut self, received: &[u8]) -> Result<(), String> {
        while let Some((header, rest)) = received[self.checked..].split_first_chunk::<RECORD_BYTES>() {
            let [kind, high, low, group, number @ .., long, short] = *header;
            let (sender, number) = (u16::from_be_bytes([high, low]), u32::from_be_bytes(number));
            let padding = usize::from(u16::from_be_bytes([long, short]));
            let Some(padded) = rest.get(..padding) else { break };
            if !b"cpm".contains(&kind) || padded.iter().any(|byte| *byte != number as u8) {
                return Err(format!("{header:?}, not a record, at {}", self.checked));
            }
            self.checked += RECORD_BYTES + padding;
            match kind {
                b'c' => {
                    let last = self.last.insert((sender, group), number);
                    if last.is_some_and(|last| last >= number) {
                        return Err(format!("cast {number} of {sender} to group {group} after {last:?}"));
                    }
                    self.gaps += last.map_or(0, |last| u64::from(number - last - 1));
                }
                b'm' => {
                    self.missed += u64::from(number);
                    self.check_gaps()?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks that every gap was reported.
    fn check_gaps(&self) -> Result<(), String> {
        if self.stays && self.gaps > self.missed {
            return Err(format!("{} casts were left out, and {} reported as missed", self.gaps, self.missed));
        }
        Ok(())
    }
}

/// Makes the plan of a client.
pub(in super::super) fn plan(random: &mut Random) -> Plan {
    let stays = random.flip();
    let mut joins = Vec::new();
    // A strict member without a job must not be reset if it reads; while a job runs, casts wait as for a slow reader.
    let is_strict = random.strikes(400);
    for group in 0..random.within(0..GROUPS.len() + 1) {
        joins.extend([if is_strict && random.flip() { b'J' } else { b'j' }, group as u8]);
    }
    let mut acts = vec![Act::Send(joins)];
    let commands: &[u8] = match (stays, is_strict) {
        (true, true) => b"ccCpPvsc",
        (true, false) => b"ccCpPvswc",
        (false, true) => b"cCCpPvsjJll",
        (false, false) => b"cCCpPvswjll",
    };
    for _ in 0..random.within(1..8) {
        let sent = (0..random.within(1..12)).flat_map(|_| [random.pick(commands), random.next() as u8]);
        acts.push(Act::Send(sent.collect()));
        let longest = random.pick(&[1, 50, 1000]);
        acts.push(Act::Pause(random.millis(longest)));
    }
    let end = random.within(0..8);
    match end {
        0 => acts.push(Act::Reset),
        1 => acts.push(Act::Close),
        _ => acts.extend([Act::Finish, Act::End, Act::Close]),
    }
    let is_deaf = random.strikes(200);
    Plan {
        service: Service::Gossip,
        acts,
        expectation: Expectation::Records(Records { stays, ..Records::default() }),
        uploads: Vec::new(),
        honest: end > 1 && !is_deaf,
        appetite: if is_deaf { 0 } else { random.pick(&[200, 5000, 64 * 1024]) },
        pace_millis: random.pick(&[0, 1, 10, 60]),
        whole: false,
        closed_within: None,
    }
}
