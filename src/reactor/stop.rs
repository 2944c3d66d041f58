//! Stopping: gracefully within `shutdown_timeout`, or at once.

use super::{Owner, Reactor};
use crate::kernel::{Command, Kernel};
use crate::limits::CUT_GRACE;
use crate::protocol::CloseReason;
use crate::time::Time;
use crate::xray::{self, LOOP, What};

/// The state of a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server has not been asked to stop.
    No,
    /// Requests may finish until this time.
    Graceful(Time),
    /// Connections have been reset. Jobs that discard their remains may finish until this time.
    Cut(Time, Stopped),
}

impl Stop {
    /// Returns the time of the next step, even if no event comes.
    pub(super) fn deadline(self) -> Option<Time> {
        match self {
            Self::No => None,
            Self::Graceful(until) | Self::Cut(until, _) => Some(until),
        }
    }
}

/// Whether another turn is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// The server is running.
    Running,
    /// The server has ended.
    Stopped(Stopped),
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// Requests were given `shutdown_timeout` to finish.
    Gracefully,
    /// All connections were reset.
    AtOnce,
}

impl<K: Kernel> Reactor<K> {
    /// Obeys a signal or a [`Handle`](crate::Handle).
    pub(super) fn obey(&mut self, command: Command) {
        xray::about(LOOP, || What::Command(command));
        match command {
            Command::Report => {
                self.report_all();
                self.save_xray();
            }
            Command::Stop => self.stop_gracefully(),
            Command::Terminate if self.stop == Stop::No => self.stop_gracefully(),
            Command::Terminate | Command::Abort => self.cut(Stopped::AtOnce),
        }
    }

    /// Visits every slot once more: listeners accept the connections in their accept queues and close, and connections finish
    /// the current request.
    fn stop_gracefully(&mut self) {
        if self.stop == Stop::No {
            xray::about(LOOP, || What::Stopping { cut: false });
            log::info!("stopping: requests have {:?} to finish", self.shutdown_timeout);
            // Discarding what reset connections leave belongs to `shutdown_timeout`, too.
            let grace = CUT_GRACE.min(self.shutdown_timeout / 10);
            self.stop = Stop::Graceful(self.moment.now.after(self.shutdown_timeout - grace));
            self.queue_all();
        }
    }

    /// Resets the remaining connections once `shutdown_timeout` has expired.
    #[inline]
    pub(super) fn expire_stop(&mut self) {
        if let Stop::Graceful(until) = self.stop
            && until <= self.moment.now
        {
            let connections =
                self.slots.iter().any(|(_, slot)| matches!(slot.owner, Owner::Connection(_) | Owner::Opening(_)));
            let what =
                if connections { "resetting the remaining connections" } else { "closing the remaining sockets" };
            log::warn!("shutdown_timeout expired: {what}");
            self.cut(Stopped::Gracefully);
        }
    }

    /// Rule 7: resets every connection that is still there. Jobs that discard their remains may finish within [`CUT_GRACE`].
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
                xray::about(token, || What::Visit);
                opening.cut(CloseReason::Shutdown, None);
            }
            if let Owner::Connection(connection) = &mut slot.owner {
                xray::about(token, || What::Visit);
                let limits = &self.endpoints[slot.endpoint].limits;
                let why = connection.why(limits, self.moment.now, slot.wants_buffer);
                log::debug!("{}: reset by the shutdown: {why:#}", connection.peer());
                connection.cut(CloseReason::Shutdown, &mut self.lent.buffers);
            }
        }
        self.queue_all();
    }

    /// Whether a stop has begun.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    /// Whether all connections have been reset.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.stop, Stop::Cut(..))
    }

    /// Returns whether the server has ended.
    pub(super) fn outcome(&self) -> Turn {
        match self.stop {
            Stop::Graceful(_) if self.slots.is_empty() => Turn::Stopped(Stopped::Gracefully),
            Stop::Cut(until, stopped) if self.slots.is_empty() || until <= self.moment.now => Turn::Stopped(stopped),
            _ => Turn::Running,
        }
    }
}
