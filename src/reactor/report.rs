//! The report: counters, and a table of all slots with what each waits for, for the administrator.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Owner, Reactor, Slot};
use crate::amounts::Rounded;
use crate::datagram::Mailbox;
use crate::kernel::{DatagramSocket, Kernel};
use crate::limits::REPORT_ROWS_MAX;
use crate::listener::{Listener, Pause};
use crate::protocol::ConnectionId;
use crate::stats::Tally;
use crate::time::Time;

/// State of a slot's owner. Owners that wait for a peer or a worker sort first, the longest wait on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    /// Whether it waits for a peer, a worker or its visit, and not only for the next connection or request.
    is_waiting: bool,
    /// How long it has waited.
    waited: Duration,
    /// The word for it in the table.
    name: &'static str,
}

impl<K: Kernel> Reactor<K> {
    /// Logs the counters of every listener.
    pub fn report(&self) {
        for endpoint in self.endpoints.iter() {
            log::info!("{endpoint}");
        }
    }

    /// Logs the counters of every listener and the table. From now on the bytes of each connection are counted.
    pub(super) fn report_all(&mut self) {
        self.report();
        let since = self.ledger.begin(self.moment.now, self.generation);
        if log::log_enabled!(log::Level::Info) {
            // One record: no other line comes between its lines, and the log's thread is woken once.
            log::info!("what each connection is waiting for:\n{}", self.table(since).join("\n"));
        }
    }

    /// Returns a heading, a row for each slot, a line that counts the slots without a row, and a line of totals.
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
            if self.is_pressed() { ", so less is read" } else { "" },
            self.lent.buffers.lent(),
            self.lent.buffers.lent() + self.lent.buffers.free(),
            Rounded(self.moment.now.duration_from(bytes_since)),
        ));
        lines
    }

    /// Returns the state of a slot's owner.
    fn state(&self, slot: &Slot<K>) -> State {
        let (is_waiting, waited, name) = match &slot.owner {
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
        State { is_waiting, waited, name }
    }

    /// Returns the row of a slot.
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
                let more = if self.ledger.predates(slot.generation) { "+" } else { "" };
                bytes = [account.received, account.sent].map(|count| format!("{more}{}", Rounded::bytes(count)));
                pending = why.pending_bytes;
                left = why.deadline();
                let via = endpoint.site.proxies.beside(ConnectionId::of(token)).to_string();
                if via.is_empty() { why.to_string() } else { format!("{why};{via}") }
            }
            Owner::Opening(opening) => {
                peer = opening.peer().to_string();
                "the handshake before its protocol is not complete".to_owned()
            }
            Owner::Listener(listener) => why_listener(listener, left),
            Owner::Mailbox(mailbox) => why_mailbox(mailbox, left),
            Owner::Remains(_) => "closed; its last job is still running".to_owned(),
        };
        let why = if slot.queued {
            "about to be visited: an event was noted, or its budget was used up".to_owned()
        } else {
            why
        };
        let [received, sent] = bytes;
        let pending = if pending > 0 { Rounded::bytes(pending as u64).to_string() } else { String::new() };
        let left = left.map(|left| Rounded(left).to_string()).unwrap_or_default();
        row([&token.to_string(), &peer, endpoint.name(), &age, state, &received, &sent, &pending, &left], &why)
    }
}

/// Formats a row. An empty field becomes a dash, so that all rows have the same number of fields.
fn row(fields: [&str; 9], why: &str) -> String {
    let [number, peer, listener, age, state, received, sent, pending, deadline] =
        fields.map(|field| if field.is_empty() { "-" } else { field });
    format!(
        "{number:<8} {peer:<21} {listener:<14} {age:>7} {state:<9} {received:>9} {sent:>9} {pending:>9} {deadline:>8}  {why}"
    )
}

/// Returns what a listener is waiting for. `again`: the time until the next attempt.
fn why_listener<L>(listener: &Listener<L>, again: Option<Duration>) -> String {
    let again = again.map(|left| format!("in {} or ", Rounded(left))).unwrap_or_default();
    match listener.paused {
        None => "waiting for connections".to_owned(),
        Some(Pause::Full(limit)) => {
            format!("not accepting: {limit} reached; resumes {again}when a connection closes")
        }
        Some(Pause::Rate) => {
            format!("not accepting: connection_rate is used up; resumes {}", again.trim_end_matches(" or "))
        }
        Some(Pause::Failed(errno)) => {
            format!("not accepting: accept returned {errno}; retries {again}when a connection closes")
        }
    }
}

/// Returns what a UDP socket is waiting for. `again`: the time until the next attempt.
fn why_mailbox<S: DatagramSocket>(mailbox: &Mailbox<S>, again: Option<Duration>) -> String {
    match (mailbox.unsent(), again) {
        (0, Some(left)) if mailbox.is_failing() => {
            format!("paused after repeated errors; retries in {}", Rounded(left))
        }
        (0, _) => "waiting for datagrams".to_owned(),
        (replies, _) => {
            format!("waiting for room in the send buffer: {replies} replies unsent; not receiving until they are sent")
        }
    }
}
