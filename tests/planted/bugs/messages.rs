//! Messages between connections.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "a-post-runs-at-once",
        cases: &[12],
        does: "A message is delivered in the turn in which it was sent, so two that answer each other keep all others waiting",
        file: "src/reactor.rs",
        function: "drive_connection",
        right: "self.settle(key, left, errand, Class::Loud);",
        wrong: "self.settle(key, left, errand, Class::Loud);
        if self.has_messages() {
            self.deliver();
        }",
        caught_by: Seeds,
    },
    Bug {
        name: "a-message-for-an-earlier-owner",
        cases: &[15],
        does: "A message is accepted for a connection that has ended, because another one is in its slot",
        file: "src/messages/accounts.rs",
        function: "get",
        right: "(account.is_open && account.generation == token.generation).then_some(account)",
        wrong: "account.is_open.then_some(account)",
        caught_by: Seeds,
    },
    Bug {
        name: "a-cast-without-bound",
        cases: &[32],
        does: "Messages to a group pile up for a member that does not read",
        file: "src/connection/letters.rs",
        function: "take_cast",
        right: "self.pending_bytes() + bytes.len() > limits.max_pending_output",
        wrong: "{ let _ = limits; false }",
        caught_by: Seeds,
    },
    Bug {
        name: "a-letter-waits-although-there-is-room",
        cases: &[12],
        does: "A message that waited for room is not delivered when there is room",
        file: "src/connection/held.rs",
        function: "letters_due",
        right: "if self.letters.is_some() { Time::ORIGIN } else { Time::NEVER }",
        wrong: "Time::NEVER",
        caught_by: Seeds,
    },
    Bug {
        name: "the-rest-of-the-messages-is-forgotten",
        cases: &[12],
        does: "Messages for which a turn had no time wait until another one is sent",
        file: "src/reactor/deliver.rs",
        function: "deliver",
        right: "self.alarm.ring();",
        wrong: "",
        caught_by: Seeds,
    },
];
