//! Reloads: all or nothing, and each slot with its endpoint.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-reload-is-half-applied",
        cases: &[123],
        does: "Listeners that a failed reload has bound stay open (Envoy and others: silent failures of reloads)",
        file: "src/reactor/reload.rs",
        function: "apply",
        right: "self.unbind(successors, first_new);",
        wrong: "drop((successors, first_new));",
        caught_by: Seeds,
    },
    Bug {
        name: "a-slot-keeps-its-old-endpoint",
        cases: &[124],
        does: "After a reload a connection has the limits and the counters of another listener",
        file: "src/reactor/reload.rs",
        function: "swap",
        right: "slot.endpoint = moves[usize::from(slot.endpoint)];",
        wrong: "if slot.is_door() { slot.endpoint = moves[usize::from(slot.endpoint)]; }",
        caught_by: Seeds,
    },
];
