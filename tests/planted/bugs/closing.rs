//! Closing: pending output, and unread input.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-close-without-a-flush",
        cases: &[38],
        does: "It sends its FIN before the pending output (hyper#4018)",
        file: "src/connection/phase.rs",
        function: "finish_writing",
        right: "if !visit.outbox.is_empty() {
            return Round::Rest;
        }
        if self.close_layer(visit) {
            return Round::Progress;
        }",
        wrong: "",
        caught_by: Seeds,
    },
    Bug {
        name: "a-close-without-lingering",
        cases: &[30],
        does: "It closes a socket with unread input, and the reset destroys the last answer (RFC 1122, 4.2.2.13; h2o#2534)",
        file: "src/connection/phase.rs",
        function: "finish_writing",
        right: "self.line.finish()",
        wrong: "false",
        caught_by: Seeds,
    },
];
