//! The other side: outgoing connections, and relays.

use crate::bug::Bug;
use crate::bug::Catcher::{Promise, Unit};

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-fin-overtakes-data",
        cases: &[38],
        does: "A half-close is passed on before the bytes that came before it",
        file: "src/connection/relaying.rs",
        function: "pass_fin",
        right: "self.pending_bytes() > 0 || !self.relays()",
        wrong: "!self.relays()",
        caught_by: Unit("connection::tests::relay::a_slow_peer_holds_one_max_pending_output_and_no_fin_overtakes"),
    },
    Bug {
        name: "the-other-half-is-not-woken",
        cases: &[12],
        does: "When a slow reader has made room, the side that was paused for it is not read again",
        file: "src/connection/relaying.rs",
        function: "exchange",
        right: "other.pass_on(self, visit)",
        wrong: "Round::Rest",
        caught_by: Unit("connection::tests::relay::a_slow_peer_holds_one_max_pending_output_and_no_fin_overtakes"),
    },
    Bug {
        name: "a-relay-without-bound",
        cases: &[32],
        does: "It reads on from one side although the other side does not read",
        file: "src/connection/relaying.rs",
        function: "room",
        right: "visit.limits.max_pending_output.saturating_sub(pending).min(READ_BYTES)",
        wrong: "{ let _ = pending; READ_BYTES }",
        caught_by: Unit("connection::tests::relay::a_slow_peer_holds_one_max_pending_output_and_no_fin_overtakes"),
    },
    Bug {
        name: "a-reset-becomes-a-fin",
        cases: &[31],
        does: "A stream that was cut at one side looks complete at the other",
        file: "src/connection/relaying.rs",
        function: "follow",
        right: "other.is_closed()",
        wrong: "{ let _ = other.is_closed(); false }",
        caught_by: Unit("connection::tests::relay::a_reset_at_any_call_resets_the_other_side"),
    },
    Bug {
        name: "a-connect-outlives-its-asker",
        cases: &[40],
        does: "The socket that connects is kept until its own deadline, although no one waits for it",
        file: "src/reactor/connect.rs",
        function: "cancel_connect",
        right: "opening.give_up(CloseReason::OtherSide);",
        wrong: "",
        caught_by: Promise("relay::connect::a_socket_that_connects_is_closed_with_the_connection_that_asked"),
    },
    Bug {
        name: "an-outgoing-connection-is-not-counted",
        cases: &[4],
        does: "Connections to other servers are made beyond `max_connections`",
        file: "src/reactor/connect.rs",
        function: "may_not_connect",
        right: "connections >= endpoint.limits.max_connections",
        wrong: "{ let _ = connections; false }",
        caught_by: Promise("relay::connect::without_room_there_is_no_connection"),
    },
];
