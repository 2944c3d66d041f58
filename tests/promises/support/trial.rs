//! A server that is to survive a fault, watched by a canary, and back at rest when it is over.

use std::ops::Deref;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Canary, Process, eventually, number_after, watch_for};

/// A request of `sum`, and its answer.
pub(crate) const SUM: (&str, &str) = (r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");

/// The real command with a canary on a listener of its own.
pub(crate) struct Trial {
    process: Process,
    canary: Canary,
    descriptors: usize,
}

impl Trial {
    #[track_caller]
    pub(crate) fn start(listeners: &[Value]) -> Self {
        Self::under(&[], listeners)
    }

    /// The same at the end of another command line, which must become the server by `exec`.
    #[track_caller]
    pub(crate) fn under(prefix: &[&str], listeners: &[Value]) -> Self {
        let canary = json!({ "name": "canary", "protocol": "sum", "listen": "tcp://127.0.0.1:0" });
        let listeners: Vec<_> = listeners.iter().cloned().chain([canary]).collect();
        let process = Process::under(prefix, &json!({ "listeners": listeners }));
        let descriptors = process.descriptors();
        let canary = Canary::start(process.address("canary"));
        Self { process, canary, descriptors }
    }

    /// While clients are held in whatever state, nothing is left to do for them. The canary pauses for it.
    #[must_use]
    #[track_caller]
    pub(crate) fn assert_rest(self) -> Self {
        self.canary.stop();
        assert_rest(&self.process);
        let canary = Canary::start(self.process.address("canary"));
        Self { canary, ..self }
    }

    /// The fault is over and the clients are gone. The canary must have been served all the time, and everything that
    /// the server held must be given back: connections, descriptors, temporary files; and it must have nothing to do.
    #[track_caller]
    pub(crate) fn end(self) -> Process {
        let mut process = self.end_without_counters();
        assert!(process.is_running());
        let is_over = |line: &String| {
            number_after(line, "open") == 0 && number_after(line, "accepted") == number_after(line, "closed")
        };
        eventually("every connection is over", || process.counters().iter().all(is_over));
        process
    }

    /// The canary has been served until now, and the server is left as it is.
    #[track_caller]
    pub(crate) fn end_without_a_canary(self) -> Process {
        self.canary.stop();
        self.process
    }

    /// The same where the log cannot be read, and the counters in it neither.
    #[track_caller]
    pub(crate) fn end_without_counters(self) -> Process {
        let Self { process, canary, descriptors } = self;
        canary.stop();
        eventually("every descriptor is given back", || process.descriptors() == descriptors);
        eventually("no temporary file is left", || process.received().iter().all(|name| !name.starts_with('.')));
        assert_rest(&process);
        process
    }
}

impl Deref for Trial {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// Nothing happens, so nothing is done.
#[track_caller]
pub(crate) fn assert_rest(process: &Process) {
    let ticks = process.processor_ticks();
    watch_for(Duration::from_millis(300));
    let spent = process.processor_ticks() - ticks;
    assert!(spent <= 3, "{spent} ticks of 30 with nothing to do: it spins");
}
