//! A server that must survive a fault, watched by a canary, and be back at rest afterwards.

use std::ops::Deref;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Canary, Process, eventually, number_after, watch_for};

/// A request of `sum`, and its answer.
pub(crate) const SUM: (&str, &str) = (r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");

/// The real command with a canary on its own listener.
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

    /// Starts the server at the end of another command line, which must become the server by `exec`.
    #[track_caller]
    pub(crate) fn under(prefix: &[&str], listeners: &[Value]) -> Self {
        let canary = json!({ "name": "canary", "protocol": "sum", "listen": "tcp://127.0.0.1:0" });
        let listeners: Vec<_> = listeners.iter().cloned().chain([canary]).collect();
        let process = Process::under(prefix, &json!({ "listeners": listeners }));
        let descriptors = process.descriptors();
        let canary = Canary::start(process.address("canary"));
        Self { process, canary, descriptors }
    }

    /// Checks that the server is idle while clients are held in some state. The canary pauses meanwhile.
    #[must_use]
    #[track_caller]
    pub(crate) fn assert_rest(self) -> Self {
        self.canary.stop();
        assert_rest(&self.process);
        let canary = Canary::start(self.process.address("canary"));
        Self { canary, ..self }
    }

    /// Checks the server after the fault and its clients. The canary must have been served all the time, the server
    /// must have released all connections, descriptors and temporary files, and it must be idle.
    #[track_caller]
    pub(crate) fn end(self) -> Process {
        let mut process = self.end_without_counters();
        assert!(process.is_running());
        let has_ended = |line: &String| {
            number_after(line, "open") == 0 && number_after(line, "accepted") == number_after(line, "closed")
        };
        eventually("every connection has ended", || process.counters().iter().all(has_ended));
        process
    }

    /// Checks that the canary has been served until now, and returns the server.
    #[track_caller]
    pub(crate) fn end_without_a_canary(self) -> Process {
        self.canary.stop();
        self.process
    }

    /// Like `end`, where the log and its counters cannot be read.
    #[track_caller]
    pub(crate) fn end_without_counters(self) -> Process {
        let Self { process, canary, descriptors } = self;
        canary.stop();
        eventually("every descriptor is closed", || process.descriptors() == descriptors);
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

/// Checks that the idle server uses no processor time.
#[track_caller]
pub(crate) fn assert_rest(process: &Process) {
    let ticks = process.processor_ticks();
    watch_for(Duration::from_millis(300));
    let spent = process.processor_ticks() - ticks;
    assert!(spent <= 3, "{spent} ticks of 30 with nothing to do: it spins");
}
