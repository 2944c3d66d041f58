//! What opens a connection before its protocol, without a socket or a clock: `opening.rs` has both.

use std::time::Duration;

use super::layer::Layer;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::protocol::Refusal;

/// How the connections of a listener open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opens {
    /// Makes the opener of one connection.
    pub(crate) opener: fn() -> Box<dyn Opener>,
    /// How long an opening may take, a connect in progress included.
    pub(crate) timeout: Duration,
}

impl Opens {
    /// The opening of a socket that connects, and whose protocol starts at once when it is connected.
    pub(crate) fn at_once(timeout: Duration) -> Self {
        Self { opener: || Box::new(AtOnce), timeout }
    }
}

/// An opening that sends and reads nothing.
struct AtOnce;

impl Opener for AtOnce {
    fn on_connected(&mut self, _: &mut Outbox) -> Result<Progress, Refusal> {
        Ok(Progress::Done { consumed: 0, peer: None, layer: None })
    }

    fn on_received(&mut self, _: &[u8], _: &mut Outbox) -> Result<Progress, Refusal> {
        Ok(Progress::Done { consumed: 0, peer: None, layer: None })
    }
}

/// What opens one connection, without a socket or a clock. A panic ends only its own connection.
pub(crate) trait Opener: Send {
    /// Is called once when the socket is connected, before anything is read. An opener that sends first appends to `out`.
    ///
    /// # Errors
    /// The connection is closed, and the reason is counted.
    fn on_connected(&mut self, _out: &mut Outbox) -> Result<Progress, Refusal> {
        Ok(Progress::More)
    }

    /// Looks at everything received so far, at least one byte, and appends output to `out`. A peer may send byte by byte, so an
    /// opener that needs many bytes notes how far it has looked: a call may cost only what is new.
    ///
    /// # Errors
    /// The connection is closed after one attempt to send `out`, and the reason is counted.
    fn on_received(&mut self, received: &[u8], out: &mut Outbox) -> Result<Progress, Refusal>;

    /// Whether the peer, as far as the opener has looked, only wants to see whether the server is there. It is logged at `trace` only; if it
    /// leaves before its first byte, it is refused as [`PROBE`].
    fn is_probe(&self) -> bool {
        false
    }
}

/// The reason by which peers are counted that only wanted to see whether the server is there.
pub(crate) const PROBE: &str = "probe";

/// How far an opening has come.
pub(crate) enum Progress {
    /// The opener needs more bytes.
    More,
    /// The opening is complete.
    Done {
        /// The number of bytes that belonged to the opening; the others are for the layer or the protocol.
        consumed: usize,
        /// The peer, if it is not the one that the socket names.
        peer: Option<Peer>,
        /// The layer that changes all bytes from now on.
        layer: Option<Box<dyn Layer>>,
    },
}
