//! Rule 6: while all connections together have too much output pending, the slowest readers are reset.
//!
//! Until then the server reads less from every peer. A thousand peers that read just fast enough for `min_send_rate` would
//! otherwise keep it so for ever.

use std::cmp::Reverse;

use super::{Owner, Reactor};
use crate::kernel::Kernel;
use crate::limits::RELIEF_EVERY;
use crate::protocol::CloseReason;
use crate::time::Time;
use crate::xray::{self, What};

impl<K: Kernel> Reactor<K> {
    /// Whether all connections together have too much output pending.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        self.totals.pending_bytes > self.totals.pending_bytes_max
    }

    /// Resets the slowest readers if too much output has been pending for [`RELIEF_EVERY`].
    pub(super) fn relieve(&mut self) {
        if !self.is_pressed() {
            self.totals.relief = Time::NEVER;
        } else if self.totals.relief == Time::NEVER {
            self.totals.relief = self.moment.now.after(RELIEF_EVERY);
        } else if self.totals.relief <= self.moment.now {
            self.totals.relief = self.moment.now.after(RELIEF_EVERY);
            self.cut_the_slowest();
        }
    }

    /// Resets the peers that took least of their output, until the rest is within the limit.
    #[cold]
    fn cut_the_slowest(&mut self) {
        let mut readers = Vec::new();
        let mut pending = self.totals.pending_bytes;
        for (key, slot) in &mut self.slots {
            let token = slot.token(key as u32);
            if let Owner::Opening(opening) = &slot.owner {
                if opening.is_closed() {
                    pending -= opening.pending_bytes();
                } else if opening.pending_bytes() > 0 {
                    // The kernel takes the little output of an opening at once, unless the peer does not read.
                    readers.push((Reverse((0, opening.deadline())), opening.pending_bytes(), key as u32));
                }
            }
            let Owner::Connection(connection) = &mut slot.owner else { continue };
            if connection.is_closed() {
                pending -= connection.pending_bytes();
                continue;
            }
            let limits = &self.endpoints[slot.endpoint].limits;
            xray::about(token, || What::Visit);
            if let Some(reading) = connection.reading(limits, self.moment.now) {
                readers.push((Reverse(reading), connection.pending_bytes(), key as u32));
            }
        }
        readers.sort_unstable();
        while pending > self.totals.pending_bytes_max
            && let Some((_, bytes, key)) = readers.pop()
        {
            pending -= bytes;
            self.cut_reader(key);
        }
    }

    /// Resets the peer of a slot.
    fn cut_reader(&mut self, key: u32) {
        let slot = &mut self.slots[key as usize];
        let token = slot.token(key);
        if let Owner::Opening(opening) = &mut slot.owner {
            xray::about(token, || What::Visit);
            opening.cut(CloseReason::OutputTotal, None);
            self.queue(key);
        } else if let Owner::Connection(connection) = &mut slot.owner {
            let limits = &self.endpoints[slot.endpoint].limits;
            let why = connection.why(limits, self.moment.now, slot.wants_buffer);
            log::debug!(
                "{}: reset, because the output of all connections exceeds max_pending_output_total: {why:#}",
                connection.peer()
            );
            xray::about(token, || What::Visit);
            connection.cut(CloseReason::OutputTotal, &mut self.lent.buffers);
            self.queue(key);
        }
    }
}
