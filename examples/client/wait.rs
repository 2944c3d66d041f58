use std::io::{ErrorKind, Result};
use std::time::{Duration, Instant};

use mio::{Events, Poll};

/// Waits for an event, but not beyond the deadline. It may return without any event, also before the deadline.
///
/// Events are *edges*: each is reported once. So wait only for a direction that returned `WouldBlock` at the last try;
/// for any other no further event may come.
pub(crate) fn wait(poll: &mut Poll, events: &mut Events, deadline: Option<Instant>) -> Result<()> {
    let timeout = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    match poll.poll(events, timeout) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        result => result,
    }
}

/// Returns the time `delay` from now; `None` (never) when the clock can't represent it.
pub(crate) fn after(delay: Duration) -> Option<Instant> {
    Instant::now().checked_add(delay)
}

pub(crate) fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| at <= Instant::now())
}
