//! Deadlines: when they are set, extended and checked.

use crate::bug::Bug;
use crate::bug::Catcher::{Seeds, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "any-byte-extends-request-timeout",
        cases: &[33],
        does: "A byte now and then keeps a request open for ever (slowloris; hyper#3828)",
        file: "src/connection/held.rs",
        function: "enter",
        right: "within == Within::Request && self.within != Within::Request",
        wrong: "within == Within::Request",
        caught_by: Seeds,
    },
    Bug {
        name: "silence-is-borne-for-ever",
        cases: &[33],
        does: "A silent connection keeps its place for ever",
        file: "src/connection/expiry.rs",
        function: "next_expiry",
        right: "consider(self.active.after(limits.idle_timeout), Expired::Close(CloseReason::Idle));",
        wrong: "",
        caught_by: Seeds,
    },
    Bug {
        name: "a-zero-window-is-borne-for-ever",
        cases: &[32],
        does: "A client that takes no output keeps its place for ever (a zero window)",
        file: "src/connection/expiry.rs",
        function: "next_expiry",
        right: "consider(write(), Expired::Write);",
        wrong: "",
        caught_by: Seeds,
    },
    Bug {
        name: "an-earlier-deadline-does-not-move",
        cases: &[33],
        does: "If a deadline moves nearer, it is noticed only when the old deadline passes",
        file: "src/deadlines.rs",
        function: "arm",
        right: "at < *known",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "a-deadline-in-the-past-is-armed-again",
        cases: &[20],
        does: "A deadline that has passed changes nothing, and fires again at once (hyper#4086, Sōzu#1132)",
        file: "src/connection.rs",
        function: "drive",
        right: "!self.is_due(next, visit, status)",
        wrong: "true",
        caught_by: Seeds,
    },
    Bug {
        name: "a-late-loop-blames-the-peer",
        cases: &[33],
        does: "It acts on a deadline before it reads what arrived while the loop was delayed",
        file: "src/connection.rs",
        function: "drive",
        right: "asked || next.1 == Expired::Timer",
        wrong: "true",
        caught_by: Unit("connection::tests::deadlines::a_late_loop_asks_the_socket_before_it_believes_a_deadline"),
    },
];
