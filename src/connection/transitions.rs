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
        "the protocol or the peer finishes, the protocol refuses, no worker takes a job, a deadline passes, or we stop",
    ),
    (Conversing, Closed, BROKEN),
    (Working, Conversing, "the result has come, and there is room for the answer; or no worker takes the job"),
    (Working, Flushing, EXPIRED),
    (Working, Closed, BROKEN),
    (Storing, Conversing, "the upload is complete or has failed, and there is room for the answer"),
    (Storing, Working, "no worker takes the bytes: the refusal is handled like that of a job"),
    (Storing, Flushing, EXPIRED),
    (Storing, Closed, BROKEN),
    (Speaking, Conversing, "there is room"),
    (Speaking, Flushing, EXPIRED),
    (Speaking, Closed, BROKEN),
    (Flushing, Lingering, "everything is sent, and our FIN"),
    (Flushing, Closed, "everything is sent, and the peer has finished; or broken or reset by us"),
    (Lingering, Closed, "the peer has finished, linger_timeout has passed, or broken or reset by us"),
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
