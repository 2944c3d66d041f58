//! Tests of a protocol without sockets: the real driver runs the protocol, against a peer that follows a script.
//!
//! The peer is behind a model of an edge-triggered kernel that is stricter than any real one: it wakes the driver only for a
//! direction whose last call returned `WouldBlock`. A driver that waits too early panics at once with *lost wake-up*.
//!
//! - [`converse`] plays one [`Script`] and returns the [`Transcript`]; [`converse_all`] plays several at once, for connections
//!   that send each other messages;
//! - [`same_for_every_split`] splits the input at every place, because the split by TCP must not matter; [`every_split`] is
//!   for a test that checks more;
//! - [`every_fault`] injects every [`Fault`] at every call of the socket;
//! - [`ask`] sends one datagram, and [`ask_as`] does so under the conditions of a [`Script`];
//! - [`MemoryDisk`] replaces the disk, and fails on request.
//!
//! ```
//! use reactor::protocol::{Context, Reply, Step, StreamProtocol};
//! use reactor::testing::same_for_every_split;
//!
//! /// Answers every byte with the next one.
//! struct Next;
//!
//! impl StreamProtocol for Next {
//!     fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
//!         for byte in cx.out.extend_from_slice(input) {
//!             *byte = byte.wrapping_add(1);
//!         }
//!         Ok(Step::again(input.len()))
//!     }
//! }
//!
//! assert_eq!(same_for_every_split(|| Next, b"HAL").sent, b"IBM");
//! ```

mod company;
mod conversation;
mod every;
mod memory_disk;
#[cfg(test)]
pub(crate) mod pair;
mod script;
mod stage;
mod wire;

use std::time::Instant;

pub use self::company::{converse, converse_all};
pub use self::conversation::Transcript;
pub use self::every::{every_fault, every_split, same_for_every_split};
pub use self::memory_disk::{Links, MemoryDisk, Operation};
pub use self::script::Script;
pub use self::wire::{Edges, Fault};
use crate::clock::Still;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::protocol::{Context, DatagramProtocol, Dropped, Place};
use crate::stats::Tally;

/// Passes one datagram of `from` to `protocol`, and returns the reply; an empty reply means that nothing is sent.
///
/// # Errors
/// The reason for which the protocol dropped the datagram.
pub fn ask(protocol: &mut impl DatagramProtocol, payload: &[u8], from: impl Into<Peer>) -> Result<Vec<u8>, Dropped> {
    ask_as(protocol, payload, &Script::new().peer(from))
}

/// Passes one datagram to `protocol` as [`ask`] does, with the peer, number, listener, local address and wall-clock time of
/// `script`. The rest of the script does not apply to a datagram.
///
/// # Errors
/// The reason for which the protocol dropped the datagram.
pub fn ask_as(protocol: &mut impl DatagramProtocol, payload: &[u8], script: &Script) -> Result<Vec<u8>, Dropped> {
    let (mut outbox, mut refused) = (Outbox::default(), Tally::default());
    let now = Instant::now();
    let mut cx = Context {
        out: &mut outbox,
        now,
        refused: &mut refused,
        place: &Place { id: script.id, site: &script.site, clock: &Still(now, script.wall_clock) },
        ends: script,
    };
    protocol.on_datagram(payload, &mut cx)?;
    Ok(outbox.pending().to_vec())
}
