//! Stopping: gracefully within `shutdown_timeout`, or at once.

use std::time::Duration;

use super::{Owner, Reactor};
use crate::kernel::{Command, Kernel};
use crate::limits::CUT_GRACE;
use crate::log_writer;
use crate::protocol::{CloseReason, ConnectionId};
use crate::time::Time;
use crate::xray::{self, LOOP, What};

/// The state of a stop. Each state has the time of its next step, even if no event comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server has not been asked to stop. The next step: connections of a removed listener are reset.
    No(Time),
    /// The server has been asked to stop, and still serves, so that a load balancer notices. The graceful stop begins at the second
    /// time; the first is the next step of this state or of [`Stop::No`].
    Leaving(Time, Time),
    /// Requests may finish until this time.
    Graceful(Time),
    /// Connections have been reset. Jobs that discard their remains may finish until this time.
    Cut(Time, Stopped),
}

impl Stop {
    /// Returns the time of the next step; [`Time::NEVER`] for none.
    #[inline]
    pub(super) fn deadline(self) -> Time {
        match self {
            Self::No(next) | Self::Leaving(next, _) | Self::Graceful(next) | Self::Cut(next, _) => next,
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
            Command::Close(id) => self.close_on_request(id),
            Command::Reload => {
                log_writer::reopen();
                self.begin_reload();
            }
            Command::Stop => self.leave(),
            Command::Terminate if self.is_ready() => self.leave(),
            Command::Terminate if matches!(self.stop, Stop::Leaving(..)) => self.stop_gracefully(),
            Command::Terminate | Command::Abort => self.cut(Stopped::AtOnce),
        }
    }

    /// Closes a connection that a [`Handle`](crate::Handle) names.
    fn close_on_request(&mut self, id: ConnectionId) {
        let (token, now) = (id.token(), self.moment.now);
        match self.slot(token).map(|slot| &mut slot.owner) {
            Some(Owner::Connection(connection)) => connection.ask_to_close(now),
            Some(Owner::Opening(opening)) => opening.cut(CloseReason::Asked, None),
            _ => return,
        }
        self.queue(token.slot);
    }

    /// Begins to stop: at once, or after `shutdown_delay`. Until then the server serves and accepts, but [is not
    /// ready](Self::is_ready).
    fn leave(&mut self) {
        let Stop::No(next) = self.stop else { return };
        let delay = self.in_force.config.shutdown_delay;
        if delay.is_zero() {
            return self.stop_gracefully();
        }
        log::info!("leaving: serving for {delay:?} more (shutdown_delay)");
        let until = self.moment.now.after(delay);
        self.stop = Stop::Leaving(next.min(until), until);
    }

    /// Visits every slot once more: listeners accept the connections in their accept queues and close, and connections finish
    /// the current request.
    fn stop_gracefully(&mut self) {
        xray::about(LOOP, || What::Stopping { cut: false });
        log::info!("stopping: requests have {:?} to finish", self.in_force.config.shutdown_timeout);
        self.stop = Stop::Graceful(self.moment.now.after(self.time_to_finish()));
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.stopping = true);
        self.queue_all();
    }

    /// Returns the time that requests have. Discarding what reset connections leave belongs to `shutdown_timeout`, too.
    pub(super) fn time_to_finish(&self) -> Duration {
        let whole = self.in_force.config.shutdown_timeout;
        whole - CUT_GRACE.min(whole / 10)
    }

    /// Takes the next step of a stop when its time has come.
    #[inline]
    pub(super) fn expire_stop(&mut self) {
        let until = self.stop.deadline();
        if until <= self.moment.now {
            self.take_next_step();
        }
    }

    /// Begins the graceful stop after `shutdown_delay`, or resets the remaining connections once `shutdown_timeout` has expired.
    #[cold]
    fn take_next_step(&mut self) {
        match self.stop {
            Stop::Leaving(_, until) if until <= self.moment.now => self.stop_gracefully(),
            Stop::Graceful(_) => {
                let connections =
                    self.slots.iter().any(|(_, slot)| matches!(slot.owner, Owner::Connection(_) | Owner::Opening(_)));
                let what =
                    if connections { "resetting the remaining connections" } else { "closing the remaining sockets" };
                log::warn!("shutdown_timeout expired: {what}");
                self.cut(Stopped::Gracefully);
            }
            Stop::No(_) | Stop::Leaving(..) => self.cut_removed(),
            Stop::Cut(..) => {}
        }
    }

    /// Rule 7: resets every connection that is still there. Jobs that discard their remains may finish within [`CUT_GRACE`].
    pub(super) fn cut(&mut self, stopped: Stopped) {
        if self.is_cut() {
            return;
        }
        self.stop = Stop::Cut(self.moment.now.after(CUT_GRACE), stopped);
        self.endpoints.iter_mut().for_each(|endpoint| (endpoint.stopping, endpoint.cut) = (true, true));
        xray::about(LOOP, || What::Stopping { cut: true });
        self.cut_slots();
    }

    /// Closes the sockets of all endpoints that are cut at their next visit, which is soon, and resets their connections.
    pub(super) fn cut_slots(&mut self) {
        let mut cut = Vec::new();
        for (key, slot) in &mut self.slots {
            let endpoint = &self.endpoints[slot.endpoint];
            if !endpoint.cut {
                continue;
            }
            cut.push(key as u32);
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
                let why = connection.why(&endpoint.limits, self.moment.now, slot.wants_buffer);
                log::debug!("{}: reset by the shutdown: {why:#}", connection.peer());
                connection.cut(CloseReason::Shutdown, &mut self.lent.buffers);
            }
        }
        cut.into_iter().for_each(|key| self.queue(key));
    }

    /// Whether new clients are welcome, as a load balancer wants to know: nothing has asked the server to stop. A server that is not
    /// ready may still serve, for `shutdown_delay`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.stop, Stop::No(_))
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
