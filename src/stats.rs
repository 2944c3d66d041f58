//! Counters: plain integers on the loop's thread.

use std::fmt;
use std::iter::Copied;
use std::slice;

use crate::limits::REASONS_MAX;

/// Counts by reason, in the order in which the reasons first occurred.
///
/// Rule 13: everything that is refused, dropped or reset is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    counts: Vec<(&'static str, u64)>,
}

impl Tally {
    /// Counts one more for `reason`. Reasons beyond the first 63 are counted together as `other`.
    pub fn add(&mut self, reason: &'static str) {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| *known == reason) {
            *count += 1;
        } else if self.counts.len() + 1 < REASONS_MAX {
            self.counts.push((reason, 1));
        } else if self.counts.len() < REASONS_MAX {
            self.counts.push(("other", 1));
        } else if let Some((_, count)) = self.counts.last_mut() {
            *count += 1;
        }
    }

    /// Adds all counts of `other`.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (reason, count) in other {
            self.add(reason);
            // Where the reason was counted just now: its own place, or the last one.
            let place = self.counts.iter().position(|(known, _)| *known == reason).unwrap_or(self.counts.len() - 1);
            self.counts[place].1 += count - 1;
        }
    }

    /// Returns what was counted since `before`, which were earlier counts of this tally.
    pub(crate) fn since(&self, before: &Self) -> Self {
        let new = self.iter().map(|(reason, count)| (reason, count.saturating_sub(before.count(reason))));
        Self { counts: new.filter(|(_, count)| *count > 0).collect() }
    }

    /// Returns the counts by reason: `no request 60, empty 1`.
    pub(crate) fn reasons(&self) -> String {
        self.iter().map(|(reason, count)| format!("{reason} {count}")).collect::<Vec<_>>().join(", ")
    }

    /// The count for `reason`.
    #[must_use]
    pub fn count(&self, reason: &str) -> u64 {
        self.counts.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }

    /// Returns each reason that occurred, with its count.
    pub fn iter(&self) -> Copied<slice::Iter<'_, (&'static str, u64)>> {
        self.counts.iter().copied()
    }

    /// The sum over all reasons.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

impl<'a> IntoIterator for &'a Tally {
    type Item = (&'static str, u64);
    type IntoIter = Copied<slice::Iter<'a, (&'static str, u64)>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.total())?;
        for (index, (reason, count)) in self.iter().enumerate() {
            write!(f, "{}{reason} {count}", if index == 0 { " (" } else { ", " })?;
        }
        if self.counts.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

/// The counters of one listener.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections accepted: each got its protocol.
    pub accepted: u64,
    /// Outgoing connections ([`Step::connect`](crate::protocol::Step::connect)): each got its protocol.
    pub connected: u64,
    /// Addresses to which no connection was made, by reason.
    pub connect_errors: Tally,
    /// Connections closed, by reason: those that were accepted, and outgoing ones.
    pub closed: Tally,
    /// Refusals, by reason. Over TCP: connections that got no protocol; requests; and connections that ended before
    /// they were accepted, by the name of the errno. Over UDP: datagrams without an answer, which the log calls
    /// dropped. The reasons are those of the protocol; `no answer` if the protocol handled the datagram without an
    /// answer; `too long`, `source port 0`, and `bug` if it panicked; `send error` and `shutdown` if the answer could
    /// not be sent.
    pub refused: Tally,
    /// Messages of peers over streams that protocols have consumed: steps that consumed input and did not wait for more of it. A
    /// protocol that consumes its input in pieces, as `uppercase` does, is counted by its pieces.
    pub requests: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Datagrams received. Each is answered, is refused, or has an answer that waits for room in the send buffer. Once
    /// the socket is closed, `received_datagrams` equals `sent_datagrams` plus the total of `refused`.
    pub received_datagrams: u64,
    /// Datagrams sent, each the answer to a received datagram.
    pub sent_datagrams: u64,
    /// Requests over UDP that the protocol refused in its answer, by reason
    /// ([`Context::refuse`](crate::protocol::Context::refuse)).
    pub error_answers: Tally,
    /// Failed calls to receive datagrams. They returned no datagram, so no other counter includes them.
    pub receive_errors: u64,
    /// Times that accepting was paused, by reason.
    pub paused: Tally,
    /// Messages that were handed to connections: one for each receiver.
    pub messages: u64,
    /// Messages that a connection was not handed, by reason: `no room` if it was skipped, `slow consumer` if it was reset for
    /// it, `gone` if it ended while the message was under way.
    pub undelivered: Tally,
    /// Turns of the loop that took longer than `slow_turn` and served this listener.
    pub slow_turns: u64,
    /// Times that reading from a connection was paused because too much output was pending, and times that such a pause ended.
    pub(crate) held_back: (u64, u64),
}

impl Stats {
    /// Adds the counters of `other`.
    pub(crate) fn absorb(&mut self, other: &Self) {
        // All fields by name, so that the compiler finds one that is forgotten here.
        let Self {
            accepted,
            connected,
            connect_errors,
            closed,
            refused,
            requests,
            received_bytes,
            sent_bytes,
            received_datagrams,
            sent_datagrams,
            error_answers,
            receive_errors,
            paused,
            messages,
            undelivered,
            slow_turns,
            held_back,
        } = other;
        self.accepted += accepted;
        self.connected += connected;
        self.connect_errors.absorb(connect_errors);
        self.closed.absorb(closed);
        self.refused.absorb(refused);
        self.requests += requests;
        self.received_bytes += received_bytes;
        self.sent_bytes += sent_bytes;
        self.received_datagrams += received_datagrams;
        self.sent_datagrams += sent_datagrams;
        self.error_answers.absorb(error_answers);
        self.receive_errors += receive_errors;
        self.paused.absorb(paused);
        self.messages += messages;
        self.undelivered.absorb(undelivered);
        self.slow_turns += slow_turns;
        self.held_back.0 += held_back.0;
        self.held_back.1 += held_back.1;
    }

    /// Returns the number of connections from which nothing is read because too much output is pending.
    #[cfg_attr(not(feature = "admin"), allow(dead_code, reason = "only `admin` shows it"))]
    pub(crate) fn back_pressured(&self) -> u64 {
        self.held_back.0.saturating_sub(self.held_back.1)
    }

    /// Returns the number of datagrams that were answered or refused.
    pub(crate) fn datagrams_accounted(&self) -> u64 {
        self.sent_datagrams + self.refused.total()
    }
}

/// The numbers of reloads of the configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reloads {
    /// Reloads after which the new configuration was in force, or that found no difference.
    pub done: u64,
    /// Reloads that changed nothing, because of a problem.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_apart_and_add_up() {
        let mut tally = Tally::default();
        for reason in ["eof", "reset", "eof"] {
            tally.add(reason);
        }
        assert_eq!((tally.count("eof"), tally.count("reset"), tally.count("idle")), (2, 1, 0));
        assert_eq!(tally.to_string(), "3 (eof 2, reset 1)");
        assert_eq!(tally.iter().collect::<Vec<_>>(), [("eof", 2), ("reset", 1)]);
    }

    #[test]
    fn counts_that_are_added_up_lose_nothing() {
        let tally = |reasons: &[&'static str]| {
            let mut tally = Tally::default();
            reasons.iter().for_each(|reason| tally.add(reason));
            tally
        };
        let mut sum = Stats { accepted: 1, closed: tally(&["eof"]), sent_bytes: 5, ..Stats::default() };
        sum.absorb(&Stats { accepted: 2, closed: tally(&["idle", "eof", "idle"]), sent_bytes: 6, ..Stats::default() });
        assert_eq!((sum.accepted, sum.sent_bytes), (3, 11));
        let between = |count, reason| Stats {
            connected: count,
            connect_errors: tally(&[reason]),
            messages: count,
            requests: count,
            undelivered: tally(&[reason]),
            held_back: (count, count - 1),
            ..Stats::default()
        };
        let mut both = between(1, "gone");
        both.absorb(&between(4, "no room"));
        assert_eq!((both.connected, both.messages, both.held_back, both.back_pressured()), (5, 5, (5, 3), 2));
        assert_eq!(both.requests, 5);
        assert_eq!((both.connect_errors.total(), both.undelivered.total()), (2, 2));
        assert_eq!(sum.closed.iter().collect::<Vec<_>>(), [("eof", 2), ("idle", 2)]);
        let mut full = Tally::default();
        (0..REASONS_MAX).for_each(|number| full.add(Box::leak(number.to_string().into_boxed_str())));
        full.absorb(&tally(&["new", "new"]));
        assert_eq!((full.count("other"), full.total()), (3, REASONS_MAX as u64 + 2));
    }

    #[test]
    fn the_number_of_reasons_is_bounded_and_nothing_goes_uncounted() {
        let mut tally = Tally::default();
        for number in 0..2 * REASONS_MAX {
            tally.add(Box::leak(number.to_string().into_boxed_str()));
        }
        assert_eq!(tally.counts.len(), REASONS_MAX);
        assert_eq!(tally.total(), 2 * REASONS_MAX as u64);
    }
}
