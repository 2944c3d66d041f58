//! The twelve steps of "Build your own reactor", and the demands of each.

/// A step: its demands, in the order in which they are tried.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) page: &'static str,
    pub(crate) demands: &'static [&'static str],
}

/// A server that has done a step meets the demands of this step and of all before it.
pub(crate) const STEPS: [Step; 12] = [
    Step { title: "listen, answer, close", page: "docs/build/01-listen.md", demands: &["first"] },
    Step {
        title: "a conversation until EOF",
        page: "docs/build/02-conversation.md",
        demands: &["answers", "steady", "fin"],
    },
    Step {
        title: "framing: a read is not a message",
        page: "docs/build/03-framing.md",
        demands: &["split", "glued", "burst"],
    },
    Step {
        title: "garbage and RST: errors of one connection",
        page: "docs/build/04-errors.md",
        demands: &["garbage", "refusal", "reset"],
    },
    Step {
        title: "blocking: a thread for each client",
        page: "docs/build/05-threads.md",
        demands: &["silent", "many"],
    },
    Step {
        title: "readiness: one thread for all clients",
        page: "docs/build/06-poll.md",
        demands: &["threads", "rest"],
    },
    Step {
        title: "partial writes: the outbox",
        page: "docs/build/07-outbox.md",
        demands: &["stuck-reader", "late-reader", "half-close"],
    },
    Step { title: "back-pressure: a bounded outbox", page: "docs/build/08-back-pressure.md", demands: &["deaf"] },
    Step {
        title: "EMFILE: out of descriptors",
        page: "docs/build/09-descriptors.md",
        demands: &["descriptors", "full", "crowd", "stopped"],
    },
    Step {
        title: "deadlines: an end for every wait",
        page: "docs/build/10-deadlines.md",
        demands: &["idle", "drip", "unread"],
    },
    Step { title: "budgets: fairness", page: "docs/build/11-budgets.md", demands: &["firehose", "heir"] },
    Step { title: "SIGTERM: a graceful stop", page: "docs/build/12-stop.md", demands: &["term", "term-stuck"] },
];
