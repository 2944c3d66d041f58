//! The one place between the socket and the protocol where bytes may change: the place for encryption.
//!
//! Input is opened (decrypted) before the protocol sees it. Output is sealed (encrypted) as soon as the protocol has appended it.
//! So the outbox always holds bytes of the wire, and flushing, back-pressure and deadlines do not depend on a layer.

use std::io;
use std::mem;

use super::{Connection, Phase, Round};
use crate::kernel::Transport;
use crate::limits::{READ_BUFFER_BYTES, READ_BYTES};
use crate::outbox::Outbox;
use crate::panics::{Panicked, catch};
use crate::protocol::CloseReason;
use crate::visit::Visit;

/// Bytes of the wire that a layer may keep between two reads: with one more read they fill the loop's read buffer.
pub(super) const UNFINISHED_BYTES_MAX: usize = READ_BUFFER_BYTES - READ_BYTES;

/// Turns bytes of the wire into bytes of the protocol and back, without a socket or a clock. A panic ends only its own
/// connection.
pub(crate) trait Layer: Send {
    /// Opens `bytes` of the wire in place, and leaves the bytes for the protocol at their front. Output of the layer itself goes
    /// to `out`.
    fn open(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Opened;

    /// Seals what follows the first `from` bytes of `out`, which the protocol has appended.
    fn seal(&mut self, out: &mut Outbox, from: usize);

    /// Appends the layer's end (in TLS, `close_notify`) after the last output, unless that has been done.
    fn close(&mut self, out: &mut Outbox);

    /// Whether the peer has ended the layer (in TLS, `close_notify`). A FIN before that is an error: the stream was truncated.
    fn has_peer_closed(&self) -> bool;
}

/// The result of opening the bytes of one read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The number of bytes at the front that are for the protocol.
    pub(crate) plain: usize,
    /// The number of bytes at the end that are an incomplete record. They are passed again, before the next ones. With more than
    /// [`UNFINISHED_BYTES_MAX`] the connection closes.
    pub(crate) unfinished: usize,
    /// Why the bytes after `plain` cannot be opened, if they cannot. The protocol is shown the bytes before, then the connection
    /// closes and the reason is counted.
    pub(crate) broken: Option<&'static str>,
}

/// A layer, and the bytes that it could not open yet.
pub(super) struct Layered {
    /// The layer.
    layer: Box<dyn Layer>,
    /// The beginning of a record, at most [`UNFINISHED_BYTES_MAX`] bytes between two reads.
    unfinished: Vec<u8>,
    /// Why nothing more can be opened.
    broken: Option<&'static str>,
}

impl Layered {
    /// Opens `bytes`, and keeps an incomplete record. Returns the number of bytes at the front that are for the protocol.
    ///
    /// # Errors
    /// The layer has a bug, described for the log.
    fn open_records(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Result<usize, String> {
        let opened = catch(|| self.layer.open(bytes, out));
        let Opened { plain, unfinished, broken } = opened.map_err(|panicked| panicked_at(&panicked))?;
        if plain.checked_add(unfinished).is_none_or(|all| all > bytes.len()) {
            return Err("its layer returned more bytes than there were".to_owned());
        }
        self.broken = broken.or_else(|| (unfinished > UNFINISHED_BYTES_MAX).then_some("too long"));
        let kept = if self.broken.is_some() { 0 } else { unfinished };
        self.unfinished = bytes[bytes.len() - kept..].to_vec();
        Ok(plain)
    }
}

/// Describes a panic of a layer for the log.
fn panicked_at(panicked: &Panicked) -> String {
    format!("its layer panicked{}", panicked.detail())
}

impl<T: Transport> Connection<T> {
    /// Keeps the bytes that followed the opening, for the protocol or for the layer.
    pub(super) fn hold_received(&mut self, received: Vec<u8>, layer: Option<Box<dyn Layer>>) {
        if let Some(layer) = layer {
            self.held().layered = Some(Box::new(Layered { layer, unfinished: received, broken: None }));
        } else {
            self.held().input = received;
        }
    }

    /// Passes the bytes that followed the opening through the layer, if there is one: no event may come for them.
    pub(super) fn open_received(&mut self, visit: &mut Visit<'_>) {
        let Some(layered) = self.layered() else { return };
        let mut bytes = mem::take(&mut layered.unfinished);
        let plain = self.open_sealed(&mut bytes, visit);
        bytes.truncate(plain);
        if self.listens() {
            self.held().input = bytes;
        }
    }

    /// Returns the layer, if there is one.
    fn layered(&mut self) -> Option<&mut Layered> {
        self.held.as_mut()?.layered.as_deref_mut()
    }

    /// Whether there is a layer.
    pub(super) fn is_layered(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.layered.is_some())
    }

    /// Reads at most `most` bytes of the wire and opens them. Returns the number of bytes for the protocol, at the front of
    /// `buffer`, or how the round ends if there are none.
    #[cold]
    pub(super) fn read_sealed(
        &mut self,
        buffer: &mut [u8],
        most: usize,
        visit: &mut Visit<'_>,
    ) -> Result<usize, Round> {
        let Some(layered) = self.layered() else { return Err(Round::Rest) };
        if let Some(reason) = layered.broken {
            // This call was to continue a read: the protocol is first shown what came before.
            if !self.starved && !self.input().is_empty() {
                return Err(Round::Progress);
            }
            self.leave(Phase::Flushing(CloseReason::Refused(reason)), visit);
            return Err(Round::Progress);
        }
        let before = layered.unfinished.len();
        buffer[..before].copy_from_slice(&layered.unfinished);
        let count = self.read_into(&mut buffer[before..before + most], visit);
        if self.line.has_peer_finished() {
            self.check_end(visit);
        }
        match self.open_sealed(&mut buffer[..before + count?], visit) {
            0 => Err(Round::Progress),
            plain => Ok(plain),
        }
    }

    /// Checks at the peer's FIN that the peer has ended the layer. If it has not, the stream may be truncated.
    fn check_end(&mut self, visit: &mut Visit<'_>) {
        let Some(layered) = self.layered() else { return };
        match catch(|| layered.layer.has_peer_closed()) {
            Ok(true) => {}
            Ok(false) => self.fail(io::ErrorKind::UnexpectedEof, visit),
            Err(panicked) => self.end_for_layer(panicked_at(&panicked), visit),
        }
    }

    /// Opens bytes of the wire. Returns the number of bytes at the front that are for the protocol.
    fn open_sealed(&mut self, bytes: &mut [u8], visit: &mut Visit<'_>) -> usize {
        let Some(layered) = self.layered() else { return 0 };
        let opened = layered.open_records(bytes, visit.outbox);
        // The next read closes the connection, after the protocol has seen what came before.
        if layered.broken.is_some() {
            self.line.ask_again();
        }
        opened.unwrap_or_else(|bug| {
            self.end_for_layer(bug, visit);
            0
        })
    }

    /// Rule 9: a panic of a layer ends its own connection.
    fn end_for_layer(&mut self, bug: String, visit: &mut Visit<'_>) {
        self.hold_bug(bug);
        if !self.is_closed() {
            self.leave(Phase::Closed(CloseReason::Bug("its layer failed")), visit);
        }
        // The outbox may hold bytes that are not sealed: they must not be sent.
        visit.outbox.clear();
    }

    /// Seals what follows the first `from` bytes of the outbox.
    #[cold]
    pub(super) fn seal(&mut self, from: usize, visit: &mut Visit<'_>) {
        if visit.outbox.len() > from
            && let Some(layered) = self.layered()
            && let Err(panicked) = catch(|| layered.layer.seal(visit.outbox, from))
        {
            self.end_for_layer(panicked_at(&panicked), visit);
        }
    }

    /// Ends the layer, before our FIN. Returns whether its end has to be sent before the FIN.
    pub(super) fn close_layer(&mut self, visit: &mut Visit<'_>) -> bool {
        let Some(layered) = self.layered() else { return false };
        if let Err(panicked) = catch(|| layered.layer.close(visit.outbox)) {
            self.end_for_layer(panicked_at(&panicked), visit);
            return true;
        }
        !visit.outbox.is_empty()
    }
}
