//! The one place between the line and the protocol where bytes may change: encryption would go here.
//!
//! What is read is opened before the protocol is shown it, and what the protocol appends is sealed before anything else sees it. So
//! the outbox holds what goes on the wire, and flushing, back-pressure and deadlines know nothing of a layer.

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

/// Turns bytes of the wire into bytes of the protocol and back. It knows no socket and no clock. A panic ends its connection
/// alone.
pub(crate) trait Layer: Send {
    /// `bytes` came from the wire. Leaves at their front what the protocol is to be shown. What the layer itself has to say
    /// goes to `out`.
    fn open(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Opened;

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
    /// Why what follows the bytes for the protocol cannot be opened, if so. The protocol is shown those, then the connection
    /// closes and the reason is counted.
    pub(crate) broken: Option<&'static str>,
}

/// A layer, and what it could not open yet.
pub(super) struct Layered {
    layer: Box<dyn Layer>,
    unfinished: Vec<u8>,
    /// Why nothing more can be opened.
    broken: Option<&'static str>,
}

impl Layered {
    /// Opens `bytes`, and keeps what is unfinished of them. Returns how many bytes at the front are for the protocol.
    ///
    /// # Errors
    /// What the layer did, if that is a bug.
    fn open_records(&mut self, bytes: &mut [u8], out: &mut Outbox) -> Result<usize, String> {
        let opened = catch(|| self.layer.open(bytes, out));
        let Opened { plain, unfinished, broken } = opened.map_err(|panicked| panicked_at(&panicked))?;
        if plain.checked_add(unfinished).is_none_or(|all| all > bytes.len()) {
            return Err("its layer made more of the bytes than there were".to_owned());
        }
        self.broken = broken.or((unfinished > UNFINISHED_BYTES_MAX).then_some("too long"));
        let kept = if self.broken.is_some() { 0 } else { unfinished };
        self.unfinished = bytes[bytes.len() - kept..].to_vec();
        Ok(plain)
    }
}

fn panicked_at(panicked: &Panicked) -> String {
    format!("its layer panicked{}", panicked.detail())
}

impl<T: Transport> Connection<T> {
    /// Keeps what came behind the opening, for the protocol or for the layer.
    pub(super) fn hold_received(&mut self, received: Vec<u8>, layer: Option<Box<dyn Layer>>) {
        if let Some(layer) = layer {
            self.held().layered = Some(Box::new(Layered { layer, unfinished: received, broken: None }));
        } else {
            self.held().input = received;
        }
    }

    /// Passes what came behind the opening through the layer, if there is one: no event need come for it.
    pub(super) fn open_received(&mut self, visit: &mut Visit<'_>) {
        let Some(layered) = self.layered() else { return };
        let mut bytes = mem::take(&mut layered.unfinished);
        let plain = self.open_sealed(&mut bytes, visit);
        bytes.truncate(plain);
        if self.listens() {
            self.held().input = bytes;
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
        if let Some(reason) = layered.broken {
            // A read that was to be continued: the protocol is shown what came before.
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

    /// The peer has finished: unless it has ended the layer before, its stream may have been cut off.
    fn check_end(&mut self, visit: &mut Visit<'_>) {
        let Some(layered) = self.layered() else { return };
        match catch(|| layered.layer.has_peer_closed()) {
            Ok(true) => {}
            Ok(false) => self.fail(io::ErrorKind::UnexpectedEof, visit),
            Err(panicked) => self.end_for_layer(panicked_at(&panicked), visit),
        }
    }

    /// Opens bytes of the wire. Returns how many bytes at the front are for the protocol.
    fn open_sealed(&mut self, bytes: &mut [u8], visit: &mut Visit<'_>) -> usize {
        let Some(layered) = self.layered() else { return 0 };
        let opened = layered.open_records(bytes, visit.outbox);
        // The next read ends the connection, once the protocol has seen what came before.
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
        if !self.is_over() {
            self.leave(Phase::Closed(CloseReason::Bug("a bug of its layer")), visit);
        }
        // It may hold what was not sealed.
        visit.outbox.clear();
    }

    /// Seals what was appended since there were `from` bytes in the outbox.
    #[cold]
    pub(super) fn seal(&mut self, from: usize, visit: &mut Visit<'_>) {
        if visit.outbox.len() > from
            && let Some(layered) = self.layered()
            && let Err(panicked) = catch(|| layered.layer.seal(visit.outbox, from))
        {
            self.end_for_layer(panicked_at(&panicked), visit);
        }
    }

    /// Ends the layer, before our FIN. Returns whether something has to be done before that: its end has to be sent.
    pub(super) fn close_layer(&mut self, visit: &mut Visit<'_>) -> bool {
        let Some(layered) = self.layered() else { return false };
        if let Err(panicked) = catch(|| layered.layer.close(visit.outbox)) {
            self.end_for_layer(panicked_at(&panicked), visit);
            return true;
        }
        !visit.outbox.is_empty()
    }
}
