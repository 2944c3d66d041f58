//! The one place between the line and the protocol where bytes may change: encryption would go here.
//!
//! What is read is opened before the protocol is shown it, and what the protocol appends is sealed before anything else sees it. So
//! the outbox holds what goes on the wire, and flushing, back-pressure and deadlines know nothing of a layer.

use std::io;

use super::{Connection, Phase, Round};
use crate::kernel::Transport;
use crate::limits::{READ_BUFFER_BYTES, READ_BYTES};
use crate::outbox::Outbox;
use crate::protocol::CloseReason;
use crate::visit::Visit;

/// Bytes of the wire that a layer may keep between two reads: with one more read they fill the loop's read buffer.
pub(super) const UNFINISHED_BYTES_MAX: usize = READ_BUFFER_BYTES - READ_BYTES;

/// Turns bytes of the wire into bytes of the protocol and back. It knows no socket and no clock.
pub(crate) trait Layer: Send {
    /// `bytes` came from the wire. Leaves at their front what the protocol is to be shown. What the layer itself has to say
    /// goes to `out`.
    ///
    /// # Errors
    /// They cannot be opened, for this reason, and the connection closes.
    fn open(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Result<Opened, &'static str>;

    /// The protocol appended what follows the first `from` bytes of `out`: it becomes what goes on the wire.
    fn seal(&mut self, out: &mut Outbox, from: usize);

    /// The protocol has finished: appends the layer's end (in TLS, `close_notify`), unless that has been done.
    fn close(&mut self, out: &mut Outbox);

    /// Whether the peer has ended the layer (in TLS, `close_notify`). A FIN before that is a truncation, and an error.
    fn has_peer_closed(&self) -> bool;
}

/// What the bytes of one read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// How many bytes at the front are for the protocol.
    pub(crate) plain: usize,
    /// How many bytes at the end are an incomplete record: they are passed again, before the next ones. With
    /// more than [`UNFINISHED_BYTES_MAX`] the connection closes.
    pub(crate) unfinished: usize,
}

/// A layer, and what it could not open yet.
pub(super) struct Layered {
    layer: Box<dyn Layer>,
    unfinished: Vec<u8>,
}

impl<T: Transport> Connection<T> {
    /// Keeps what came behind the opening, for the protocol or for the layer.
    pub(super) fn hold_received(&mut self, received: Vec<u8>, layer: Option<Box<dyn Layer>>) {
        if let Some(layer) = layer {
            self.held().layered = Some(Box::new(Layered { layer, unfinished: received }));
        } else {
            self.held().input = received;
        }
    }

    /// Passes what came behind the opening through the layer, if there is one: no event need come for it.
    pub(super) fn open_received(&mut self, visit: &mut Visit<'_>) {
        let Some(layered) = self.held.as_mut().and_then(|held| held.layered.as_deref_mut()) else { return };
        let mut bytes = std::mem::take(&mut layered.unfinished);
        match layered.layer.open(&mut bytes, visit.outbox) {
            Ok(Opened { plain, unfinished }) if unfinished <= UNFINISHED_BYTES_MAX => {
                layered.unfinished = bytes.split_off(bytes.len() - unfinished);
                bytes.truncate(plain);
                if self.listens() {
                    self.held().input = bytes;
                }
            }
            opened if self.listens() => {
                let reason = opened.err().unwrap_or("too long");
                self.leave(Phase::Flushing(CloseReason::Refused(reason)), visit);
            }
            _ => {}
        }
    }

    fn layered(&mut self) -> Option<&mut Layered> {
        self.held.as_mut()?.layered.as_deref_mut()
    }

    /// Whether bytes change on their way.
    pub(super) fn is_layered(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.layered.is_some())
    }

    /// Reads at most `most` bytes of the wire and opens them. Returns how many bytes there are for the protocol, at the front of
    /// `buffer`, or what the round comes to if there are none.
    #[cold]
    pub(super) fn read_sealed(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        visit: &mut Visit<'_>,
    ) -> Result<usize, Round> {
        let Some(layered) = self.layered() else { return Err(Round::Rest) };
        let before = layered.unfinished.len();
        buffer[..before].copy_from_slice(&layered.unfinished);
        let count = self.read_into(&mut buffer[before..before + most], visit);
        if self.line.has_peer_finished() && self.layered().is_some_and(|layered| !layered.layer.has_peer_closed()) {
            self.fail(io::ErrorKind::UnexpectedEof, visit);
        }
        let bytes = &mut buffer[..before + count?];
        let Some(layered) = self.layered() else { return Err(Round::Progress) };
        match layered.layer.open(bytes, visit.outbox) {
            Ok(Opened { unfinished, .. }) if unfinished > UNFINISHED_BYTES_MAX => {
                self.leave(Phase::Flushing(CloseReason::Refused("too long")), visit);
                Err(Round::Progress)
            }
            Ok(Opened { plain, unfinished }) => {
                layered.unfinished = bytes[bytes.len() - unfinished..].to_vec();
                if plain > 0 { Ok(plain) } else { Err(Round::Progress) }
            }
            Err(reason) => {
                self.leave(Phase::Flushing(CloseReason::Refused(reason)), visit);
                Err(Round::Progress)
            }
        }
    }

    /// Seals what was appended since there were `from` bytes in the outbox.
    #[cold]
    pub(super) fn seal(&mut self, from: usize, visit: &mut Visit<'_>) {
        if visit.outbox.len() > from
            && let Some(layered) = self.layered()
        {
            layered.layer.seal(visit.outbox, from);
        }
    }

    /// Ends the layer, before our FIN. Returns whether that has to be sent first.
    pub(super) fn close_layer(&mut self, visit: &mut Visit<'_>) -> bool {
        if let Some(layered) = self.layered() {
            layered.layer.close(visit.outbox);
        }
        !visit.outbox.is_empty()
    }
}
