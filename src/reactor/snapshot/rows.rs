//! The table of all slots with what each waits for, for the report and for protocols that inquire.

use std::cmp::Reverse;
use std::fmt::Display;
use std::time::Duration;

use super::super::{Owner, Reactor, Slot};
use crate::amounts::Rounded;
use crate::datagram::Mailbox;
use crate::gate::RATE;
use crate::kernel::{DatagramSocket, Kernel};
use crate::listener::{Listener, Pause};
use crate::peer::PackedPeer;
use crate::protocol::ConnectionId;
use crate::snapshot::{Moved, Row, Table, Wanted};
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
    /// Returns a row for each wanted slot, the longest wait first, and counts of all wanted slots.
    pub(in crate::reactor) fn rows(&self, Wanted { listener, rows_max }: &Wanted) -> Table {
        let is_wanted = |slot: &Slot<K>| listener.as_ref().is_none_or(|name| self.listener_of(slot) == name);
        let wanted = self.slots.iter().filter(|(_, slot)| is_wanted(slot));
        let mut states: Vec<_> = wanted.map(|(key, slot)| (Reverse(self.state(slot)), key)).collect();
        let names = |states: &[(Reverse<State>, usize)]| {
            let mut names = Tally::default();
            states.iter().for_each(|(state, _)| names.add(state.0.name));
            names
        };
        let all = names(&states);
        let mut rest = Tally::default();
        if states.len() > *rows_max {
            states.select_nth_unstable(*rows_max);
            rest = names(&states[*rows_max..]);
            states.truncate(*rows_max);
        }
        states.sort_unstable();
        let rows = states.iter().map(|(state, key)| self.row(*key, &self.slots[*key], state.0.name)).collect();
        Table { rows, all, rest }
    }

    /// Returns the name of the listener that counts a slot. A reload may have changed it.
    fn listener_of(&self, slot: &Slot<K>) -> &str {
        self.endpoints[self.endpoints.home_of(slot.endpoint)].name()
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
            Owner::Opening(opening) if opening.asker().is_some() => (true, Duration::ZERO, "connecting"),
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
    fn row(&self, key: usize, slot: &Slot<K>, state: &'static str) -> Row {
        let token = slot.token(key as u32);
        let at = self.deadlines.at(token.slot);
        let mut deadline = (at != Time::NEVER).then(|| at.duration_from(self.moment.now));
        let (mut peer, mut moved, mut pending_bytes) = (None, None, 0);
        let why: Box<dyn Display + Send + Sync> = match &slot.owner {
            Owner::Connection(connection) => {
                let limits = &self.endpoints[slot.endpoint].limits;
                let why = connection.why(limits, self.moment.now, slot.wants_buffer);
                let account = self.ledger.account(token.slot);
                let is_part = self.ledger.predates(slot.generation);
                peer = Some(connection.peer());
                moved = Some(Moved { received: account.received, sent: account.sent, is_part });
                pending_bytes = why.pending_bytes;
                deadline = why.deadline();
                Box::new(why)
            }
            Owner::Opening(opening) => {
                peer = Some(opening.peer());
                match opening.asker() {
                    Some(asker) => Box::new(format!("the kernel has not connected it yet, for {asker}")),
                    None => Box::new("the handshake before its protocol is not complete"),
                }
            }
            Owner::Listener(listener) => Box::new(why_listener(listener, deadline)),
            Owner::Mailbox(mailbox) => Box::new(why_mailbox(mailbox, deadline)),
            Owner::Remains(_) => Box::new("closed; its last job is still running"),
        };
        let why = if slot.queued {
            Box::new("about to be visited: an event was noted, or its budget was used up")
        } else {
            why
        };
        Row {
            number: ConnectionId::of(token),
            peer,
            proxy: self.endpoints[slot.endpoint].site.proxies.of(ConnectionId::of(token)).map(PackedPeer::unpack),
            listener: self.listener_of(slot).to_owned(),
            age: self.ledger.age(token.slot, self.moment.now),
            state,
            moved,
            pending_bytes,
            deadline,
            why,
        }
    }
}

/// Returns why a listener does not accept, without what ends that.
pub(super) fn why_paused(pause: Pause) -> String {
    match pause {
        Pause::Full(limit) => format!("{limit} reached"),
        Pause::Failed(errno) => format!("accept returned {errno}"),
        Pause::Rate => format!("{RATE} is used up"),
    }
}

/// Returns what a listener is waiting for. `again`: the time until the next attempt.
fn why_listener<L>(listener: &Listener<L>, again: Option<Duration>) -> String {
    let Some(pause) = listener.paused else { return "waiting for connections".to_owned() };
    let then = if matches!(pause, Pause::Failed(_)) { "retries" } else { "resumes" };
    let at = again.map(|left| format!("in {}", Rounded(left)));
    let when = [at, (pause != Pause::Rate).then(|| "when a connection closes".to_owned())];
    let when: Vec<_> = when.into_iter().flatten().collect();
    format!("not accepting: {}; {then} {}", why_paused(pause), when.join(" or "))
}

/// Returns what a datagram socket is waiting for. `again`: the time until the next attempt.
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
