//! The phases of a connection as a table: which phase may follow which, and when.

use crate::xray::Phase::{
    self, Closed, Connecting, Conversing, Flushing, Lingering, Opening, Relaying, Sending, Speaking, Storing, Working,
};

/// What closes a connection at once, in any phase.
const BROKEN: &str = "broken, reset by us, or a bug of the protocol or its layer";
/// What closes a connection gracefully, in any phase.
const EXPIRED: &str = "a deadline has passed";

/// From a phase, to the next one, when. No other change of phase happens; debug builds check each.
const TRANSITIONS: &[(Phase, Phase, &str)] = &[
    (Connecting, Opening, "the kernel has connected the socket"),
    (Connecting, Closed, "the connect fails, the deadline of the opening passes, or we stop"),
    (Opening, Sending, "the opener is done"),
    (
        Opening,
        Closed,
        "the opener refuses, has a bug or reads too much, the peer finishes, the deadline passes, broken, or we stop",
    ),
    (Sending, Conversing, "everything is sent, and the service accepts the peer"),
    (Sending, Closed, "a limit or the service refuses the peer, the deadline passes, broken, or cut"),
    (
        Conversing,
        Working,
        "the protocol asks for a job, a connection or a relay; or it is new, and waits for the one that asked",
    ),
    (Conversing, Storing, "the protocol asks for bytes to be stored"),
    (Conversing, Speaking, "the protocol has more to say than there is room for"),
    (
        Conversing,
        Flushing,
        "the protocol or the peer finishes, the protocol or its layer refuses, no worker takes a job, a deadline passes, or we stop",
    ),
    (Conversing, Relaying, "the other half has asked for a relay"),
    (Conversing, Closed, BROKEN),
    (
        Working,
        Conversing,
        "the result has come, and there is room for the answer; no worker takes the job; or the one that asked goes on",
    ),
    (Working, Relaying, "the relay that it, or the one that asked, has asked for begins"),
    (Working, Flushing, EXPIRED),
    (Working, Closed, BROKEN),
    (Storing, Conversing, "the upload is complete or has failed, and there is room for the answer"),
    (Storing, Working, "no worker takes the bytes: handled like a job that is refused"),
    (Storing, Flushing, "a deadline has passed, or the layer cannot open what came"),
    (Storing, Closed, BROKEN),
    (Speaking, Conversing, "there is room"),
    (Speaking, Flushing, EXPIRED),
    (Speaking, Closed, BROKEN),
    (Relaying, Flushing, "a deadline of either half has passed, or a layer cannot open what came"),
    (Relaying, Lingering, "the same, after our FIN"),
    (
        Relaying,
        Closed,
        "both peers have finished and everything is sent; or either half is broken, reset by us, or has a bug of its layer",
    ),
    (Flushing, Lingering, "everything is sent, and our FIN"),
    (Flushing, Closed, "everything is sent, and the peer has finished; or broken, reset by us, or a bug of the layer"),
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
