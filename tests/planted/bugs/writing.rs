//! Writing: short writes, back-pressure, whose output it is.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-short-write-is-ignored",
        cases: &[38],
        does: "It forgets what the kernel did not take (mio's example `tcp_server` gives up there)",
        file: "src/connection.rs",
        function: "flush",
        right: "visit.outbox.advance(count);",
        wrong: "visit.outbox.clear();",
        caught_by: Seeds,
    },
    Bug {
        name: "output-without-bound",
        cases: &[21, 32],
        does: "It goes on reading requests of a client that takes no answers",
        file: "src/connection/held.rs",
        function: "is_full",
        right: "visit.outbox.len() >= if visit.pressed { 1 } else { visit.limits.max_pending_output }",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "output-of-the-last-connection",
        cases: &[42],
        does: "What could not be sent to one client stays in the buffer that all share, and goes to the next one",
        file: "src/connection/held.rs",
        function: "stow",
        right: "visit.outbox.clear();",
        wrong: "",
        caught_by: Seeds,
    },
];
