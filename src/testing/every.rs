//! One conversation in all variants: every split of the input, every fault at every call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::company::converse;
use super::conversation::Transcript;
use super::script::Script;
use super::wire::{Edges, Fault};
use crate::protocol::{CloseReason, Context, Event, Job, Reply, StreamProtocol};

/// Calls `check` with `bytes` whole, split in two at every place, and byte by byte.
pub fn every_split(bytes: &[u8], mut check: impl FnMut(&[&[u8]])) {
    check(&[bytes]);
    for cut in 1..bytes.len() {
        check(&[&bytes[..cut], &bytes[cut..]]);
    }
    if bytes.len() > 1 {
        check(&bytes.chunks(1).collect::<Vec<_>>());
    }
}

/// Sends `bytes` and a FIN to the protocol, for every way to split the bytes and every kind of edges. Returns the transcript
/// of the bytes in one piece.
///
/// # Panics
/// If the split, or whether the FIN arrives together with the last bytes, changes what the peer gets, how the connection ends,
/// or what is counted as refused.
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

/// Injects every fault at every call of the conversation that `script` describes, for every kind of edges.
///
/// # Panics
/// If a harmless fault changes what the peer gets or how the connection ends, if before a reset the peer got anything but the
/// beginning of that, or if `on_close` is not called exactly once.
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
            let (opens, closes) = (Arc::default(), Arc::default());
            let watched = Watched { protocol: protocol(), opens: Arc::clone(&opens), closes: Arc::clone(&closes) };
            let cut = converse(watched, &script.clone().fault(call, Fault::Reset));
            assert!(
                clean.sent.starts_with(&cut.sent),
                "a reset at call {call} with {edges:?} changed what came before"
            );
            // A connection that was still opening has no protocol.
            let made = if script.opens.is_some() { opens.load(Ordering::Relaxed) } else { 1 };
            assert_eq!(closes.load(Ordering::Relaxed), made, "on_close after a reset at call {call}");
        }
    }
}

/// Counts the calls of `on_open` and of `on_close`.
struct Watched<P> {
    protocol: P,
    opens: Arc<AtomicUsize>,
    closes: Arc<AtomicUsize>,
}

impl<P: StreamProtocol> StreamProtocol for Watched<P> {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        self.opens.fetch_add(1, Ordering::Relaxed);
        self.protocol.on_open(cx)
    }

    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_bytes(input, cx)
    }

    fn on_event(&mut self, event: Event, rest: &[u8], cx: &mut Context<'_>) -> Reply {
        self.protocol.on_event(event, rest, cx)
    }

    fn on_close(&mut self, reason: CloseReason) -> Option<Job> {
        self.closes.fetch_add(1, Ordering::Relaxed);
        self.protocol.on_close(reason)
    }
}
