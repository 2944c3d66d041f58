//! The table of everything that the loop owns, for whoever asks a server what it is doing.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Owner, Reactor, Slot};
use crate::amounts::Rounded;
use crate::datagram::Mailbox;
use crate::kernel::{DatagramSocket, Kernel};
use crate::limits::REPORT_ROWS_MAX;
use crate::listener::{Listener, Pause};
use crate::stats::Tally;
use crate::time::Time;

/// What the owner of a slot is at. Its row comes before others if it waits for somebody, and the longer the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    waits_for_somebody: bool,
    waited: Duration,
    name: &'static str,
}

impl<K: Kernel> Reactor<K> {
    /// Logs the counters of every listener.
    pub fn report(&self) {
        for endpoint in self.endpoints.iter() {
            log::info!("{endpoint}");
        }
    }

    /// Logs the counters of every listener, and then the table. From now on the bytes of each connection are counted.
    pub(super) fn report_all(&mut self) {
        self.report();
        let since = self.ledger.begin(self.moment.now, self.generation);
        if log::log_enabled!(log::Level::Info) {
            // One record, so that nothing gets between its lines, and the thread that writes is woken once.
            log::info!("who is waited for:\n{}", self.table(since).join("\n"));
        }
    }

    /// A heading, a row for each, a line for those who find no place, and a line for all together.
    fn table(&self, bytes_since: Time) -> Vec<String> {
        let mut states: Vec<_> = self.slots.iter().map(|(key, slot)| (Reverse(self.state(slot)), key)).collect();
        let names = |states: &[(Reverse<State>, usize)]| {
            let mut names = Tally::default();
            states.iter().for_each(|(state, _)| names.add(state.0.name));
            names
        };
        let all = names(&states);
        let mut rest = Tally::default();
        if states.len() > REPORT_ROWS_MAX {
            states.select_nth_unstable(REPORT_ROWS_MAX);
            rest = names(&states[REPORT_ROWS_MAX..]);
            states.truncate(REPORT_ROWS_MAX);
        }
        states.sort_unstable();

        let mut lines =
            vec![row(["number", "peer", "listener", "age", "state", "in", "out", "pending", "deadline"], "why")];
        lines.extend(states.iter().map(|(state, key)| self.row(*key, &self.slots[*key], state.0.name)));
        if rest.total() > 0 {
            lines.push(format!("… and {rest} more"));
        }
        lines.push(format!(
            "in all {all}; output pending {} of {}{}; upload buffers lent {} of {}; bytes counted for {}",
            Rounded::bytes(self.totals.pending_bytes as u64),
            Rounded::bytes(self.totals.pending_bytes_max as u64),
            if self.totals.pending_bytes > self.totals.pending_bytes_max { ", so less is read" } else { "" },
            self.lent.buffers.lent(),
            self.lent.buffers.lent() + self.lent.buffers.free(),
            Rounded(self.moment.now.duration_from(bytes_since)),
        ));
        lines
    }

    fn state(&self, slot: &Slot<K>) -> State {
        let (waits_for_somebody, waited, name) = match &slot.owner {
            _ if slot.queued => (true, Duration::ZERO, "ready"),
            Owner::Connection(connection) => {
                let limits = &self.endpoints[slot.endpoint].limits;
                let why = connection.why(limits, self.moment.now, slot.wants_buffer);
                (!why.is_idle(), why.waited, why.name())
            }
            Owner::Opening(_) => (true, Duration::ZERO, "opening"),
            Owner::Listener(listener) if listener.paused.is_some() => (true, Duration::MAX, "paused"),
            Owner::Listener(_) => (false, Duration::MAX, "listening"),
            Owner::Mailbox(mailbox) if !mailbox.is_drained() => (true, Duration::MAX, "blocked"),
            Owner::Mailbox(_) => (false, Duration::MAX, "listening"),
            Owner::Remains(_) => (true, Duration::ZERO, "remains"),
        };
        State { waits_for_somebody, waited, name }
    }

    fn row(&self, key: usize, slot: &Slot<K>, state: &str) -> String {
        let endpoint = &self.endpoints[slot.endpoint];
        let token = slot.token(key as u32);
        let deadline = self.deadlines.at(token.slot);
        let left = (deadline != Time::NEVER).then(|| deadline.duration_from(self.moment.now));
        let age = Rounded(self.ledger.age(token.slot, self.moment.now)).to_string();
        let (mut peer, mut bytes, mut pending, mut left) = (String::new(), [String::new(), String::new()], 0, left);
        let why = match &slot.owner {
            Owner::Connection(connection) => {
                let why = connection.why(&endpoint.limits, self.moment.now, slot.wants_buffer);
                let account = self.ledger.account(token.slot);
                peer = connection.peer().to_string();
                let more = if self.ledger.is_younger_than(slot.generation) { "+" } else { "" };
                bytes = [account.received, account.sent].map(|count| format!("{more}{}", Rounded::bytes(count)));
                pending = why.pending_bytes;
                left = why.deadline();
                why.to_string()
            }
            Owner::Opening(opening) => {
                peer = opening.peer().to_string();
                "opens: what comes before its protocol is not complete".to_owned()
            }
            Owner::Listener(listener) => why_listener(listener, left),
            Owner::Mailbox(mailbox) => why_mailbox(mailbox, left),
            Owner::Remains(_) => "over, but a worker is still busy for it".to_owned(),
        };
        let why = if slot.queued {
            "about to be visited: something happened, or its turn comes again".to_owned()
        } else {
            why
        };
        let [received, sent] = bytes;
        let pending = if pending > 0 { Rounded::bytes(pending as u64).to_string() } else { String::new() };
        let left = left.map(|left| Rounded(left).to_string()).unwrap_or_default();
        row([&token.to_string(), &peer, endpoint.name(), &age, state, &received, &sent, &pending, &left], &why)
    }
}

/// What does not apply is a dash, so that each row has as many fields.
fn row(fields: [&str; 9], why: &str) -> String {
    let [number, peer, listener, age, state, received, sent, pending, deadline] =
        fields.map(|field| if field.is_empty() { "-" } else { field });
    format!(
        "{number:<8} {peer:<21} {listener:<14} {age:>7} {state:<9} {received:>9} {sent:>9} {pending:>9} {deadline:>8}  {why}"
    )
}

fn why_listener<L>(listener: &Listener<L>, again: Option<Duration>) -> String {
    let again = again.map(|left| format!("in {} or ", Rounded(left))).unwrap_or_default();
    match listener.paused {
        None => "waiting for connections".to_owned(),
        Some(Pause::Full(limit)) => {
            format!("accepts nobody: {limit} is reached; goes on {again}when a connection closes")
        }
        Some(Pause::Failed(errno)) => {
            format!("accepts nobody: accept said {errno}; tries again {again}when a connection closes")
        }
    }
}

fn why_mailbox<S: DatagramSocket>(mailbox: &Mailbox<S>, again: Option<Duration>) -> String {
    match (mailbox.unsent(), again) {
        (0, Some(left)) if mailbox.is_failing() => {
            format!("rests, because it met nothing but errors; tries again in {}", Rounded(left))
        }
        (0, _) => "waiting for datagrams".to_owned(),
        (replies, _) => {
            format!("waiting for room in the send buffer: {replies} replies unsent, and nothing is received meanwhile")
        }
    }
}
