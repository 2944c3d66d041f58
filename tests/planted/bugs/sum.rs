//! Requests: where they end, how long they may be, their sums.

use crate::bug::Bug;
use crate::bug::Catcher::{Seeds, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-read-is-a-message",
        cases: &[36],
        does: "It drops the beginning of a request whose end comes with the next read",
        file: "src/protocol/sum.rs",
        function: "on_bytes",
        right: "Ok(Step::wait(Within::Request).consuming(start))",
        wrong: "Ok(Step::wait(Within::Request).consuming(input.len()))",
        caught_by: Seeds,
    },
    Bug {
        name: "a-request-without-bound",
        cases: &[43],
        does: "It buffers a request that does not end without limit",
        file: "src/protocol/sum/scanner.rs",
        function: "scan",
        right: "scanned < self.bytes_max",
        wrong: "true",
        caught_by: Unit("protocol::sum::tests::a_request_may_be_exactly_as_long_as_allowed"),
    },
    Bug {
        name: "unconsumed-input-without-bound",
        cases: &[43],
        does: "It keeps any amount of input that a protocol leaves unconsumed",
        file: "src/connection/conversation.rs",
        function: "decide",
        right: "available - step.consumed > UNCONSUMED_BYTES_MAX",
        wrong: "false",
        caught_by: Unit("connection::tests::what_a_protocol_leaves_unconsumed_is_bounded"),
    },
    Bug {
        name: "a-sum-wraps-round",
        cases: &[44],
        does: "If a sum overflows, the answer is a wrong number",
        file: "src/protocol/sum.rs",
        function: "answer",
        right: "a.checked_add(b)",
        wrong: "Some(a.wrapping_add(b))",
        caught_by: Seeds,
    },
];
