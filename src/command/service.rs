//! Runs the loop, and notifies the service manager between its turns. The loop does not know of the manager.

use std::io;

use super::notifier::Notifier;
use crate::amounts::Count;
use crate::endpoint::Endpoint;
use crate::kernel::monotonic;
use crate::reactor::reload::ReloadState;
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
        let mut reload = reactor.reload_state().0;
        while turn == Turn::Running {
            let longest = notifier.turned(monotonic(), !reactor.is_ready(), || status(reactor));
            turn = reactor.turn(longest)?;
            reload = notify_of_reloads(reactor, &mut notifier, reload);
        }
        notifier.turned(monotonic(), !reactor.is_ready(), || status(reactor));
    }
    // A server that has ended only logs its counters here.
    reactor.run()
}

/// Notifies the manager of a reload that has begun or ended since `before`. Returns the state now.
fn notify_of_reloads(reactor: &Reactor, notifier: &mut Notifier, before: ReloadState) -> ReloadState {
    let (now, failure) = reactor.reload_state();
    let has_ended = now.reloads != before.reloads;
    if (now.is_running || has_ended) && !before.is_running {
        notifier.reloading();
    }
    if has_ended {
        notifier.ready_again(failure.map_or(Ok(()), Err));
        if now.is_running {
            notifier.reloading();
        }
    }
    now
}

/// Returns the status of the server, as `systemctl status` shows it.
fn status(reactor: &Reactor) -> String {
    let endpoints = reactor.endpoints();
    let connections = endpoints.iter().map(Endpoint::open_connections).sum::<usize>();
    let connections = Count(connections as u64, "connection");
    if !reactor.is_ready() {
        return format!("{connections}, stopping");
    }
    format!("{connections}, {}, accepting", Count(endpoints.len() as u64, "listener"))
}

#[cfg(test)]
mod tests;
