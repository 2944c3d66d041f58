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
        name: "silence-never-times-out",
        cases: &[33],
        does: "A silent connection keeps its place for ever",
        file: "src/connection/expiry.rs",
        function: "next_expiry",
        right: "consider(self.active.after(limits.idle_timeout), Expired::Order(CloseReason::Idle));",
        wrong: "",
        caught_by: Seeds,
    },
    Bug {
        name: "a-zero-window-never-times-out",
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
        right: "if asked || next.1 == Expired::Timer {
                self.expire(next, visit);
            } else {
                // Rule 8: a loop that was held up must not blame the peer for it: what arrived in the meantime counts.
                self.line.ask_again();
                asked = true;
            }",
        wrong: "self.expire(next, visit);",
        caught_by: Unit("connection::tests::deadlines::a_late_loop_asks_the_socket_before_it_believes_a_deadline"),
    },
    Bug {
        name: "a-timer-is-stopped-by-any-step",
        cases: &[],
        does: "A timer does not fire if the peer sends anything before",
        file: "src/connection/conversation.rs",
        function: "decide",
        right: "held.quiet = Time::NEVER;",
        wrong: "held.quiet = Time::NEVER; held.timer = Time::NEVER;",
        caught_by: Unit("connection::tests::deadlines::a_timer_fires_once_each_time_it_is_set_whatever_the_peer_sends"),
    },
    Bug {
        name: "a-timer-is-not-armed",
        cases: &[],
        does: "A timer fires only if the connection is visited for another reason",
        file: "src/connection/expiry.rs",
        function: "next_expiry",
        right: "consider(held.timer, Expired::Timer);",
        wrong: "",
        caught_by: Seeds,
    },
];
