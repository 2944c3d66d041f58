//! One conversation in all its variants: split everywhere, struck by every fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::conversation::{Transcript, converse};
use super::script::Script;
use super::wire::{Edges, Fault};
use crate::protocol::{CloseReason, Context, Event, Job, Reply, StreamProtocol};

/// Calls `check` with `bytes` whole, cut in two at every place, and byte by byte.
pub fn every_split(bytes: &[u8], mut check: impl FnMut(&[&[u8]])) {
    check(&[bytes]);
    for cut in 1..bytes.len() {
        check(&[&bytes[..cut], &bytes[cut..]]);
    }
    if bytes.len() > 1 {
        check(&bytes.chunks(1).collect::<Vec<_>>());
    }
}

/// Gives what a peer gets that sends `bytes` and then its FIN, for every way to split them and for every kind of edges.
///
/// # Panics
/// If how the bytes were split, or whether the FIN came along with the last of them, changes what the peer gets, how the
/// connection ends, or what is counted as refused.
pub fn same_for_every_split<P: StreamProtocol + 'static>(mut protocol: impl FnMut() -> P, bytes: &[u8]) -> Transcript {
    let whole = converse(protocol(), &Script::new().send_fin(bytes));
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        every_split(bytes, |chunks| {
            let (last, before) = chunks.split_last().expect("one chunk at least");
            let script = Script::new().edges(edges).send_all(before);
            for script in [script.clone().send(last).fin(), script.send_fin(last)] {
                let split = converse(protocol(), &script);
                assert_eq!(
                    (split.sent.escape_ascii().to_string(), split.reason, split.stats.refused.to_string()),
                    (whole.sent.escape_ascii().to_string(), whole.reason, whole.stats.refused.to_string()),
                    "{:?} with {edges:?}",
                    chunks.iter().map(|chunk| chunk.escape_ascii().to_string()).collect::<Vec<_>>()
                );
            }
        });
    }
    whole
}

/// Lets every fault strike at every call of the conversation that `script` describes, for every kind of edges.
///
/// # Panics
/// If a harmless fault changes what the peer gets, if after a reset the peer got something else than the beginning of
/// it, or if the protocol is not told exactly once that the connection is over.
pub fn every_fault<P: StreamProtocol + 'static>(mut protocol: impl FnMut() -> P, script: &Script) {
    for edges in [Edges::WouldBlock, Edges::ShortReads, Edges::Urgent] {
        let script = script.clone().edges(edges);
        let clean = converse(protocol(), &script);
        for call in 0..clean.calls {
            for fault in Fault::HARMLESS {
                let faulty = converse(protocol(), &script.clone().fault(call, fault));
                assert_eq!(
                    String::from_utf8_lossy(&faulty.sent),
                    String::from_utf8_lossy(&clean.sent),
                    "{fault:?} at call {call} with {edges:?}"
                );
                assert_eq!(faulty.reason, clean.reason, "{fault:?} at call {call} with {edges:?}");
            }
            let (greetings, goodbyes) = (Arc::default(), Arc::default());
            let watched =
                Watched { protocol: protocol(), greetings: Arc::clone(&greetings), goodbyes: Arc::clone(&goodbyes) };
            let cut = converse(watched, &script.clone().fault(call, Fault::Reset));
            assert!(
                clean.sent.starts_with(&cut.sent),
                "a reset at call {call} with {edges:?} changed what came before"
            );
            // A connection that was still opening has no protocol.
            let made = if script.opens.is_some() { greetings.load(Ordering::Relaxed) } else { 1 };
            assert_eq!(goodbyes.load(Ordering::Relaxed), made, "on_close after a reset at call {call}");
        }
    }
}

/// Counts how often a protocol is told that it begins, and that it is over.
struct Watched<P> {
    protocol: P,
    greetings: Arc<AtomicUsize>,
    goodbyes: Arc<AtomicUsize>,
}

impl<P: StreamProtocol> StreamProtocol for Watched<P> {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.greetings.fetch_add(1, Ordering::Relaxed);
        self.protocol.on_open(cx)
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_bytes(input, cx)
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_event(event, rest, cx)
    }

    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        self.goodbyes.fetch_add(1, Ordering::Relaxed);
        self.protocol.on_close(reason)
    }
}
