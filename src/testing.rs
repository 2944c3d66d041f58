//! Testing without sockets: a protocol, through the real driver, against a peer that follows a script.
//!
//! The peer sits behind a model of an edge-triggered kernel which is stricter than any real one: it wakes the driver
//! only for a direction that said `WouldBlock`. A driver that waits too early fails at once with *lost wake-up*.
//!
//! - [`converse`] plays one [`Script`] and gives the [`Transcript`];
//! - [`same_for_every_split`] cuts the input everywhere, since how TCP splits it must not matter; [`every_split`] does so
//!   for a test that has more to look at;
//! - [`every_fault`] lets every [`Fault`] strike at every call of the socket;
//! - [`ask`] sends one datagram, and [`ask_as`] does so under conditions of a [`Script`];
//! - [`MemoryDisk`] stands in for the disk, and fails when it is told to.
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

mod conversation;
mod every;
mod memory_disk;
mod script;
mod stage;
mod wire;

use std::time::Instant;

pub use self::conversation::{Transcript, converse};
pub use self::every::{every_fault, every_split, same_for_every_split};
pub use self::memory_disk::{Links, MemoryDisk, Operation};
pub use self::script::Script;
pub use self::wire::{Edges, Fault};
use crate::clock::Still;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::protocol::{Context, DatagramProtocol, Dropped, Place};
use crate::stats::Tally;

/// Hands one datagram of `from` to `protocol`, and gives its reply; an empty one is not sent.
///
/// # Errors
/// The reason for which the protocol dropped it.
pub fn ask(protocol: &mut impl DatagramProtocol, payload: &[u8], from: impl Into<Peer>) -> Result<Vec<u8>, Dropped> {
    ask_as(protocol, payload, &Script::new().peer(from))
}

/// The same from the peer of `script`, which reached its local address and its listener, at its wall-clock time. What else is in
/// the script means nothing to a datagram.
///
/// # Errors
/// The reason for which the protocol dropped it.
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
