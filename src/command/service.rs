//! Runs the loop, and notifies the service manager between its turns. The loop does not know of the manager.

use std::io;

use super::notifier::Notifier;
use crate::amounts::Count;
use crate::endpoint::Endpoint;
use crate::kernel::monotonic;
use crate::reactor::{Reactor, Stopped, Turn};

/// Runs the loop until the server has ended.
///
/// With a manager the loop runs turn by turn, so that the end of each turn feeds the watchdog, and only that does: a protocol that
/// holds the loop makes the manager restart the server.
///
/// # Errors
/// The poll itself failed.
pub(super) fn run(reactor: &mut Reactor, notifier: Option<Notifier>) -> io::Result<Stopped> {
    if let Some(mut notifier) = notifier {
        notifier.ready(status(reactor));
        let mut turn = Turn::Running;
        while turn == Turn::Running {
            let longest = notifier.turned(monotonic(), reactor.is_stopping(), || status(reactor));
            turn = reactor.turn(longest)?;
        }
        notifier.turned(monotonic(), reactor.is_stopping(), || status(reactor));
    }
    // A server that has ended only logs its counters here.
    reactor.run()
}

/// Returns the status of the server, as `systemctl status` shows it.
fn status(reactor: &Reactor) -> String {
    let endpoints = reactor.endpoints();
    let connections = endpoints.iter().map(Endpoint::open_connections).sum::<usize>();
    let connections = Count(connections as u64, "connection");
    if reactor.is_stopping() {
        return format!("{connections}, stopping");
    }
    format!("{connections}, {}, accepting", Count(endpoints.len() as u64, "listener"))
}

#[cfg(test)]
mod tests;
