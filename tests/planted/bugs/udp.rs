//! UDP: silence, sizes, and an empty datagram.

use crate::bug::Bug;
use crate::bug::Catcher::Seeds;

pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "garbage-is-answered",
        cases: &[52],
        does: "It answers invalid requests, so that two servers can be made to answer each other for ever (CVE-2024-2169)",
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
        does: "It repeats the request before the answer, and so amplifies (as memcached did, by far more)",
        file: "src/protocol/sum.rs",
        function: "on_datagram",
        right: "answer(Ok(request), cx);",
        wrong: "cx.out.extend_from_slice(payload); answer(Ok(request), cx);",
        caught_by: Seeds,
    },
    Bug {
        name: "source-port-0-is-answered",
        cases: &[53],
        does: "It sends to port 0, which no client can have sent from",
        file: "src/datagram.rs",
        function: "answerable",
        right: "address.port() == 0",
        wrong: "false",
        caught_by: Seeds,
    },
    Bug {
        name: "an-empty-datagram-is-the-end",
        cases: &[54],
        does: "It treats a length of zero as a FIN (ponyc#5644, mongoose#3696)",
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
        does: "After an ICMP error it waits for an edge, though datagrams wait (memcached once closed its socket)",
        file: "src/datagram.rs",
        function: "serve",
        right: "failures += 1;",
        wrong: "failures += 1; self.ready.readable = false;",
        caught_by: Seeds,
    },
    Bug {
        name: "a-drained-socket-is-asked-again",
        cases: &[20],
        does: "It ignores EAGAIN and spins",
        file: "src/datagram.rs",
        function: "serve",
        right: "self.ready.readable = false",
        wrong: "budget -= 1",
        caught_by: Seeds,
    },
    Bug {
        name: "an-answer-from-another-address",
        cases: &[59],
        does: "On a machine with several addresses it answers from another one than the request was sent to",
        file: "src/datagram.rs",
        function: "answer",
        right: "received.to ",
        wrong: "None",
        caught_by: Seeds,
    },
];
