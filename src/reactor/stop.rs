//! Stopping: in order, within a time, or at once.

use super::{Owner, Reactor, Turn};
use crate::kernel::{Command, Kernel};
use crate::limits::CUT_GRACE;
use crate::protocol::CloseReason;
use crate::time::Time;
use crate::xray::{self, LOOP, What};

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    No,
    /// Requests are being finished until then.
    Orderly(Time),
    /// Connections have been cut; jobs that discard what they left are awaited until then.
    Cut(Time, Stopped),
}

impl Stop {
    /// When it goes on by itself.
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Self::No => None,
            Self::Orderly(until) | Self::Cut(until, _) => Some(until),
        }
    }
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// It was asked to stop, and did so in order.
    InOrder,
    /// It was told to stop at once.
    AtOnce,
}

impl<K: Kernel> Reactor<K> {
    /// Does what a signal or a [`Handle`](crate::Handle) asks for.
    pub(super) fn obey(&mut self, command: Command) {
        xray::about(LOOP, || What::Command(command));
        match command {
            Command::Report => {
                self.report_all();
                self.save_xray();
            }
            Command::Stop => self.stop_in_order(),
            Command::Terminate if self.stop == Stop::No => self.stop_in_order(),
            Command::Terminate | Command::Abort => self.cut(Stopped::AtOnce),
        }
    }

    /// Visits everything once more: listeners serve what is in their accept queues and close, connections finish the
    /// request that they are in the middle of.
    fn stop_in_order(&mut self) {
        if self.stop == Stop::No {
            xray::about(LOOP, || What::Stopping { cut: false });
            log::info!("stopping: requests have {:?} to finish", self.shutdown_timeout);
            // What is cut has to be discarded, and that belongs to the time as well.
            let grace = CUT_GRACE.min(self.shutdown_timeout / 10);
            self.stop = Stop::Orderly(self.moment.now.after(self.shutdown_timeout - grace));
            self.queue_all();
        }
    }

    /// Ends every connection now; only jobs that discard what they left are awaited, for a moment.
    pub(super) fn cut(&mut self, stopped: Stopped) {
        if self.is_cut() {
            return;
        }
        self.stop = Stop::Cut(self.moment.now.after(CUT_GRACE), stopped);
        xray::about(LOOP, || What::Stopping { cut: true });
        for (key, slot) in &mut self.slots {
            let token = slot.token(key as u32);
            if let Owner::Mailbox(mailbox) = &mut slot.owner {
                mailbox.cut();
            }
            if let Owner::Opening(opening) = &mut slot.owner {
                opening.cut(CloseReason::Shutdown, None);
            }
            if let Owner::Connection(connection) = &mut slot.owner {
                xray::about(token, || What::Visit);
                let limits = &self.endpoints[slot.endpoint].limits;
                let why = connection.why(limits, self.moment.now, slot.wants_buffer);
                log::debug!("{}: cut: {why:#}", connection.peer());
                connection.cut(CloseReason::Shutdown, &mut self.lent.buffers);
            }
        }
        self.queue_all();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    pub(super) fn is_cut(&self) -> bool {
        matches!(self.stop, Stop::Cut(..))
    }

    /// Whether it is over.
    pub(super) fn outcome(&self) -> Turn {
        match self.stop {
            Stop::Orderly(_) if self.slots.is_empty() => Turn::Stopped(Stopped::InOrder),
            Stop::Cut(until, stopped) if self.slots.is_empty() || until <= self.moment.now => Turn::Stopped(stopped),
            _ => Turn::Running,
        }
    }
}
