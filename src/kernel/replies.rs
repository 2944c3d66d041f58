//! A queue of datagrams that wait to be sent.

use super::{Sender, Source};

/// The replies to a batch of datagrams, in order, until the kernel has taken them.
#[derive(Debug, Default)]
pub struct Replies {
    /// The payloads of all replies, one after the other.
    payloads: Vec<u8>,
    /// One for each reply, in order.
    envelopes: Vec<Envelope>,
    /// The number of replies at the front that were sent or given up.
    done: usize,
}

/// The addresses of a reply, and where its payload ends.
#[derive(Debug)]
struct Envelope {
    /// The end of the payload in `payloads`; it starts at the end of the previous one.
    end: usize,
    /// The recipient.
    to: Sender,
    /// The address of this machine to send from.
    source: Option<Source>,
}

/// One datagram that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The payload.
    pub payload: &'a [u8],
    /// The recipient.
    pub to: Sender,
    /// The address of this machine to send from; `None`: the kernel chooses.
    pub source: Option<Source>,
}

/// Consecutive replies to one address, all of equal length except perhaps a shorter last one: the kernel can split them
/// from one payload.
#[cfg_attr(
    not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))),
    allow(dead_code, reason = "no other system cuts runs")
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    /// The payloads, one after the other.
    pub(crate) payloads: &'a [u8],
    /// The length of each payload except the last.
    pub(crate) length: usize,
    /// The number of replies.
    pub(crate) count: usize,
    /// The recipient of all.
    pub(crate) to: Sender,
    /// The address of this machine to send from.
    pub(crate) source: Option<Source>,
}

impl Replies {
    /// Appends a reply.
    pub(crate) fn push(&mut self, reply: Reply<'_>) {
        self.payloads.extend_from_slice(reply.payload);
        self.envelopes.push(Envelope { end: self.payloads.len(), to: reply.to, source: reply.source });
    }

    /// Returns the replies that have not been sent, in order.
    pub fn unsent(&self) -> impl Iterator<Item = Reply<'_>> {
        self.envelopes[self.done..].iter().scan(self.start(), |start, envelope| {
            let payload = &self.payloads[std::mem::replace(start, envelope.end)..envelope.end];
            Some(Reply { payload, to: envelope.to, source: envelope.source })
        })
    }

    /// Returns the unsent replies in runs, each as long as possible. A reply of more than `longest` bytes, and an empty
    /// one, is a run of its own.
    #[cfg_attr(
        not(all(target_os = "linux", not(mio_unsupported_force_poll_poll))),
        allow(dead_code, reason = "no other system cuts runs")
    )]
    pub(crate) fn runs(&self, longest: usize) -> impl Iterator<Item = Run<'_>> {
        let mut rest = &self.envelopes[self.done..];
        let mut start = self.start();
        std::iter::from_fn(move || {
            let first = rest.first()?;
            let length = first.end - start;
            let mut count = 1;
            // A run ends after a reply that is shorter than the first.
            while length <= longest
                && rest[count - 1].end == start + count * length
                && let Some(next) = rest.get(count).filter(|next| next.to == first.to && next.source == first.source)
                && (1..=length).contains(&(next.end - rest[count - 1].end))
            {
                count += 1;
            }
            let end = rest[count - 1].end;
            rest = &rest[count..];
            let payloads = &self.payloads[std::mem::replace(&mut start, end)..end];
            Some(Run { payloads, length, count, to: first.to, source: first.source })
        })
    }

    /// Returns the start of the unsent payloads.
    fn start(&self) -> usize {
        self.done.checked_sub(1).map_or(0, |last| self.envelopes[last].end)
    }

    /// Whether all have been sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done == self.envelopes.len()
    }

    /// Removes the next `count` replies: they were sent or given up.
    pub(crate) fn advance(&mut self, count: usize) {
        debug_assert!(self.done + count <= self.envelopes.len(), "no more replies can be sent than there are");
        self.done += count;
        if self.is_empty() {
            self.payloads.clear();
            self.envelopes.clear();
            self.done = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::Peer;

    fn to(port: u16) -> Sender {
        Sender::Inet(([192, 0, 2, 1], port).into())
    }

    fn port(sender: Sender) -> u16 {
        Peer::from(sender).address().map_or(0, |address| address.port())
    }

    #[test]
    fn each_reply_keeps_its_payload_and_recipient_whatever_was_sent_before() {
        let mut replies = Replies::default();
        for (payload, port) in [(&b"one"[..], 1), (b"", 2), (b"three", 3)] {
            replies.push(Reply { payload, to: to(port), source: None });
        }
        for rest in [[1, 2, 3].as_slice(), &[2, 3], &[3]] {
            assert_eq!(replies.unsent().map(|reply| port(reply.to)).collect::<Vec<_>>(), rest);
            let last = replies.unsent().last().map(|reply| reply.payload.to_vec());
            assert_eq!(last.as_deref(), Some(&b"three"[..]));
            replies.advance(1);
        }
        assert!(replies.is_empty());
        replies.push(Reply { payload: b"next", to: to(4), source: None });
        assert_eq!(replies.unsent().map(|reply| reply.payload).collect::<Vec<_>>(), [b"next"]);
    }

    #[test]
    fn a_run_has_one_length_and_one_peer_and_only_its_last_may_be_shorter() {
        let mut replies = Replies::default();
        for (payload, port) in [
            (&b"first"[..], 1),
            (b"aa", 1),
            (b"bb", 1),
            (b"c", 1),
            (b"d", 1),
            (b"e", 2),
            (b"", 2),
            (b"f", 2),
            (b"long", 2),
            (b"long", 2),
            (b"end", 2),
        ] {
            replies.push(Reply { payload, to: to(port), source: None });
        }
        let runs = |replies: &Replies, longest| {
            let runs = replies.runs(longest).map(|run| (run.payloads.to_vec(), run.length, run.count, port(run.to)));
            runs.collect::<Vec<_>>()
        };
        replies.advance(1);
        let expected = [
            (b"aabbc".to_vec(), 2, 3, 1),
            (b"d".to_vec(), 1, 1, 1),
            (b"e".to_vec(), 1, 1, 2),
            (b"".to_vec(), 0, 1, 2),
            (b"f".to_vec(), 1, 1, 2),
            (b"long".to_vec(), 4, 1, 2),
            (b"long".to_vec(), 4, 1, 2),
            (b"end".to_vec(), 3, 1, 2),
        ];
        assert_eq!(runs(&replies, 3), expected);
        assert_eq!(runs(&replies, 4)[5..], [(b"longlongend".to_vec(), 4, 3, 2)]);
        assert!(runs(&replies, 0).iter().all(|(.., count, _)| *count == 1), "no runs if none are wanted");
    }
}
