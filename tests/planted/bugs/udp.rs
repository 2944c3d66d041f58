//! UDP: silence, sizes, and what is no end.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "garbage-is-answered",
        cases: &[52],
        does: "It answers what is no request, so that two servers can be made to talk for ever (CVE-2024-2169)",
        file: "src/protocol/sum.rs",
        function: "on_datagram",
        right: r#"parse_alone(payload, self.request_bytes_max).ok_or(Dropped("no request"))?"#,
        wrong: r#"match parse_alone(payload, self.request_bytes_max) {
            Some(request) => request,
            None => {
                answer(Err("not an object"), cx);
                return Ok(());
            }
        }"#,
        caught_by: Seeds,
    },
    Bug {
        name: "an-answer-longer-than-its-request",
        cases: &[53],
        does: "It repeats the question in front of the answer, and so amplifies (as memcached did, by far more)",
        file: "src/protocol/sum.rs",
        function: "on_datagram",
        right: "answer(Ok(request), cx);",
        wrong: "cx.out.extend_from_slice(payload); answer(Ok(request), cx);",
        caught_by: Seeds,
    },
    Bug {
        name: "source-port-0-is-answered",
        cases: &[53],
        does: "It sends to port 0, where nobody can have asked from",
        file: "src/datagram.rs",
        function: "answer",
        right: "received.from.port() == 0",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "an-empty-datagram-is-the-end",
        cases: &[54],
        does: "It takes a length of zero for a FIN (ponyc#5644, mongoose#3696)",
        file: "src/datagram.rs",
        function: "serve",
        right: "self.answer(datagram, &room[..datagram.length], visit);",
        wrong: "match datagram.length {
            0 => self.ready.readable = false,
            length => self.answer(datagram, &room[..length], visit),
        }",
        caught_by: Seeds,
    },
    Bug {
        name: "an-error-of-receiving-is-the-end",
        cases: &[56],
        does: "It waits for an edge after an ICMP error, though datagrams are there (memcached once closed its socket)",
        file: "src/datagram.rs",
        function: "serve",
        right: "failures += 1;",
        wrong: "failures += 1; self.ready.readable = false;",
        caught_by: Seeds,
    },
    Bug {
        name: "a-drained-socket-is-asked-again",
        cases: &[20],
        does: "It does not believe EAGAIN and spins",
        file: "src/datagram.rs",
        function: "serve",
        right: "self.ready.readable = false",
        wrong: "budget -= 1",
        caught_by: Seeds,
    },
    Bug {
        name: "an-answer-from-another-address",
        cases: &[59],
        does: "On a machine with several addresses it answers from one that was not asked",
        file: "src/datagram.rs",
        function: "answer",
        right: "received.to ",
        wrong: "None",
        caught_by: Seeds,
    },
];
