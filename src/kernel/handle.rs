//! What other threads may ask of a running loop.

use std::sync::{Arc, mpsc};

use ::mio::Waker;

use super::Command;
use crate::token::ConnectionId;

/// Controls a running loop from another thread.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The channel to the loop.
    pub(super) commands: mpsc::Sender<Command>,
    /// Wakes the loop after a command was sent.
    pub(super) waker: Arc<Waker>,
}

impl Handle {
    /// Stops the loop gracefully, as SIGTERM does: after `shutdown_delay` nothing new is accepted, and requests are
    /// finished within `shutdown_timeout`. Further calls change nothing.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }

    /// Stops the loop now: connections are reset.
    pub fn abort(&self) {
        self.send(Command::Abort);
    }

    /// Opens the log file again and reads the configuration again, as SIGHUP does: see
    /// [`Reactor::reload_with`](crate::Reactor::reload_with). Without a configuration that can be read again, this counts as a failed
    /// reload. While the server stops, only the log file is opened again.
    pub fn reload(&self) {
        self.send(Command::Reload);
    }

    /// Logs the counters of every listener and what each connection is waiting for, as SIGUSR1 does: see
    /// `docs/configuration.md`.
    pub fn report(&self) {
        self.send(Command::Report);
    }

    /// Closes a connection gracefully: pending output is sent first, and an upload or a job ends first. A connection that has
    /// ended is ignored. Its protocol makes the number known: see [`Context::id`](crate::protocol::Context::id).
    pub fn close(&self, id: ConnectionId) {
        self.send(Command::Close(id));
    }

    /// Sends a command. A loop that has ended ignores commands, so that is not an error.
    fn send(&self, command: Command) {
        if self.commands.send(command).is_ok() {
            self.wake();
        }
    }

    /// Makes the loop return from its wait.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}
