//! The life of a connection as a table: which phase may follow which, and when.

use crate::xray::Phase::{self, Closed, Conversing, Flushing, Lingering, Speaking, Storing, Working};

/// What ends a connection at once, whatever it is in the middle of.
const BROKEN: &str = "broken, reset by us, or a bug of the protocol";
/// What ends a connection in order, whatever it is in the middle of.
const EXPIRED: &str = "a deadline has passed";

/// From a phase, to the next one, when. No other change of phase happens; debug builds check each.
const TRANSITIONS: &[(Phase, Phase, &str)] = &[
    (Conversing, Working, "the protocol asks for a job"),
    (Conversing, Storing, "the protocol asks for bytes to be stored"),
    (Conversing, Speaking, "the protocol has more to say than there is room for"),
    (
        Conversing,
        Flushing,
        "the protocol finishes or refuses, the peer has finished, a deadline has passed, or a shutdown",
    ),
    (Conversing, Closed, BROKEN),
    (Working, Conversing, "the result has come, and there is room for what the protocol says of it"),
    (Working, Flushing, EXPIRED),
    (Working, Closed, BROKEN),
    (Storing, Conversing, "all bytes are stored, and there is room for what the protocol says of it"),
    (Storing, Working, "no worker takes the bytes: the protocol is told as if it were a result"),
    (Storing, Flushing, EXPIRED),
    (Storing, Closed, BROKEN),
    (Speaking, Conversing, "there is room"),
    (Speaking, Flushing, EXPIRED),
    (Speaking, Closed, BROKEN),
    (Flushing, Lingering, "everything is sent, and our FIN"),
    (Flushing, Closed, "everything is sent, and the peer has finished; or broken"),
    (Lingering, Closed, "the peer has finished, linger_timeout has passed, or broken"),
];

/// Checks a change of phase.
#[inline]
pub(super) fn check(from: Phase, to: Phase) {
    debug_assert!(
        TRANSITIONS.iter().any(|transition| (transition.0, transition.1) == (from, to)),
        "{from:?} may not be followed by {to:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_design_draws_the_transitions_as_they_are() {
        let rows: String = TRANSITIONS
            .iter()
            .map(|(from, to, when)| format!("{:<11} -> {:<11} {when}\n", format!("{from:?}"), format!("{to:?}")))
            .collect();
        let design = include_str!("../../docs/design.md");
        assert!(design.contains(&format!("```text\n{rows}```\n")), "docs/design.md should say:\n{rows}");
    }

    #[test]
    #[should_panic(expected = "Closed may not be followed by Conversing")]
    #[cfg(debug_assertions)]
    fn nothing_follows_the_end() {
        check(Closed, Conversing);
    }
}
