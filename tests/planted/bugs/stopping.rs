//! Stopping: requests under way, and clients that never end.

use crate::bug::Bug;
use crate::bug::Catcher::{Promise, Seeds, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-stop-never-cuts",
        cases: &[82],
        does: "It goes on past `shutdown_timeout` as long as a client is connected",
        file: "src/reactor/stop.rs",
        function: "expire_stop",
        right: "until <= self.moment.now",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "the-second-signal-changes-nothing",
        cases: &[82],
        does: "It ignores the signal to stop at once",
        file: "src/reactor/stop.rs",
        function: "obey",
        right: "self.cut(Stopped::AtOnce)",
        wrong: "self.stop_gracefully()",
        caught_by: Promise("shutdown::a_second_signal_ends_the_command_at_once_with_exit_code_1"),
    },
    Bug {
        name: "a-stop-interrupts-requests",
        cases: &[82],
        does: "It closes connections in the middle of a request",
        file: "src/connection/expiry.rs",
        function: "may_shut_down",
        right: "self.within == Within::Nothing",
        wrong: "true",
        caught_by: Unit("connection::tests::a_shutdown_lets_a_request_be_finished"),
    },
];
