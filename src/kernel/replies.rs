//! Datagrams that wait to be sent, in order.

use std::net::SocketAddr;

use super::Source;

/// The replies to a batch of datagrams, until the kernel has taken them.
#[derive(Debug, Default)]
pub struct Replies {
    payloads: Vec<u8>,
    envelopes: Vec<Envelope>,
    /// How many at the front are done with.
    done: usize,
}

/// Where a payload ends among the others, and where it goes.
#[derive(Debug)]
struct Envelope {
    end: usize,
    to: SocketAddr,
    source: Option<Source>,
}

/// One datagram that waits to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// What it says.
    pub payload: &'a [u8],
    /// Whom to.
    pub to: SocketAddr,
    /// The address of ours that it leaves from, if it matters.
    pub source: Option<Source>,
}

impl Replies {
    /// Appends one.
    pub(crate) fn push(&mut self, reply: Reply<'_>) {
        self.payloads.extend_from_slice(reply.payload);
        self.envelopes.push(Envelope { end: self.payloads.len(), to: reply.to, source: reply.source });
    }

    /// Those that have not been sent, the next one first.
    pub fn unsent(&self) -> impl Iterator<Item = Reply<'_>> {
        let start_of_first = self.done.checked_sub(1).map_or(0, |last| self.envelopes[last].end);
        self.envelopes[self.done..].iter().scan(start_of_first, |start, envelope| {
            let payload = &self.payloads[std::mem::replace(start, envelope.end)..envelope.end];
            Some(Reply { payload, to: envelope.to, source: envelope.source })
        })
    }

    /// Whether all have been sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done == self.envelopes.len()
    }

    /// Notes that the next `count` are done with: sent, or given up.
    pub(crate) fn advance(&mut self, count: usize) {
        debug_assert!(self.done + count <= self.envelopes.len(), "no more can be sent than there are");
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

    #[test]
    fn each_reply_keeps_its_payload_and_its_addressee_whatever_was_sent_before_it() {
        let to = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut replies = Replies::default();
        for (payload, port) in [(&b"one"[..], 1), (b"", 2), (b"three", 3)] {
            replies.push(Reply { payload, to: to(port), source: None });
        }
        for rest in [[1, 2, 3].as_slice(), &[2, 3], &[3]] {
            assert_eq!(replies.unsent().map(|reply| reply.to.port()).collect::<Vec<_>>(), rest);
            let last = replies.unsent().last().map(|reply| reply.payload.to_vec());
            assert_eq!(last.as_deref(), Some(&b"three"[..]));
            replies.advance(1);
        }
        assert!(replies.is_empty());
        replies.push(Reply { payload: b"next", to: to(4), source: None });
        assert_eq!(replies.unsent().map(|reply| reply.payload).collect::<Vec<_>>(), [b"next"]);
    }
}
