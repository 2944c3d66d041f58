//! The likely cause of a miss, and the page that explains it.

use crate::demand::Demand;
use crate::miss::Miss;

/// A likely cause, in words about the server, and where to read.
pub(crate) struct Cause {
    pub(crate) text: &'static str,
    pub(crate) read: &'static str,
}

/// A row: the demand, a part of what came that must be there for this cause, the cause, and the page.
type Row = (&'static str, &'static str, &'static str, &'static str);

const BLOCKING: &str = "docs/blocking.md#a-blocking-server-serves-one-client";
const ERRORS: &str = "docs/faults.md#rst-an-error-of-one-connection";
const FRAMING: &str = "docs/framing.md#messages-glued-and-split-a-read-is-not-a-message";
const OUTBOX: &str = "docs/writing.md#the-outbox";
const RESET: &str = "docs/tcp.md#rst-reset-the-connection-ends-at-once";

/// The first row that fits is the likely cause. The last row of each demand fits always.
const ROWS: &[Row] = &[
    ("first", "refused", "no program listens at this address", "docs/sockets.md"),
    (
        "first",
        "a timeout",
        "it does not send the answer, or waits for more than the question, such as a newline",
        FRAMING,
    ),
    ("first", "", "its answer is another one", "docs/protocols.md"),
    ("answers", "the end", "it closes the connection after the first answer", "docs/tcp.md"),
    ("answers", "a reset", "it closes the connection after the first answer, with the next question unread", RESET),
    ("answers", "", "it does not read a second question from the same connection", "docs/sockets.md"),
    ("steady", "a timeout", "it waits for something else than its clients, such as a log that is not read", BLOCKING),
    ("steady", "", "something grows or runs out with each question", "docs/blocking.md"),
    ("fin", "a timeout", "it does not close its side after the client's FIN (a read of 0 bytes)", "docs/reading.md"),
    (
        "fin",
        "",
        "it closes at the FIN before it answers what arrived with it",
        "docs/tcp.md#fin-a-request-that-gets-no-answer",
    ),
    ("split", "", "it takes what one read returns for one whole question", FRAMING),
    ("glued", "", "it takes what one read returns for one whole question", FRAMING),
    ("burst", "a timeout", "it stops reading although more has arrived", "docs/edges.md#the-lost-wake-up-on-purpose"),
    ("burst", "", "it takes what one read returns for whole questions", FRAMING),
    ("late-reader", "a timeout", "it does not send the rest when there is room again", OUTBOX),
    (
        "late-reader",
        "",
        "it ignores that a write takes only a part",
        "docs/writing.md#partial-writes-a-server-that-loses-bytes",
    ),
    (
        "half-close",
        "the end",
        "it closes at the client's FIN with answers unsent",
        "docs/tcp.md#the-close-a-fin-from-each-side-four-segments",
    ),
    (
        "half-close",
        "a timeout",
        "it does not send the rest when there is room again, or does not close at the end",
        OUTBOX,
    ),
    (
        "half-close",
        "",
        "it ignores that a write takes only a part",
        "docs/writing.md#partial-writes-a-server-that-loses-bytes",
    ),
    (
        "refusal",
        "a reset",
        "it closes with input unread, which resets the connection and destroys the last answers",
        RESET,
    ),
    ("refusal", "", "it does not send an error line and close when a question is a mistake", FRAMING),
    ("many", "", "it serves one client at a time, or accepts one client for each event", BLOCKING),
    ("silent", "", "it waits in a read for one client, and serves no other one meanwhile", BLOCKING),
    (
        "stuck-reader",
        "",
        "it waits in a write for one client, and serves no other one meanwhile",
        "docs/writing.md#a-non-blocking-write-repeated-until-it-succeeds",
    ),
    ("reset", "", "it takes the error of one connection for its own", ERRORS),
    (
        "deaf",
        "were taken",
        "its outbox has no bound: it reads on while the answers pile up",
        "docs/writing.md#an-outbox-without-a-limit",
    ),
    (
        "deaf",
        "grown",
        "its outbox has no bound: it reads on while the answers pile up",
        "docs/writing.md#an-outbox-without-a-limit",
    ),
    (
        "deaf",
        "",
        "it waits in a write for one client, and serves no other one meanwhile",
        "docs/writing.md#a-non-blocking-write-repeated-until-it-succeeds",
    ),
    (
        "garbage",
        "a timeout",
        "it waits for the end of a question that never ends, even after the client's FIN",
        "docs/framing.md#no-delimiter-a-name-without-an-end",
    ),
    ("garbage", "", "it takes the mistake of one client for its own failure", ERRORS),
    (
        "heir",
        "",
        "it sends an answer to the connection that has the number of an older one",
        "docs/reactor.md#a-token-without-a-generation-the-answer-goes-to-the-wrong-client",
    ),
    ("threads", "", "it starts a thread for each client", "docs/blocking.md#what-a-blocking-thread-costs"),
    (
        "firehose",
        "first",
        "it reads from one client until nothing is left, and looks at no other one meanwhile",
        "docs/reactor.md#budgets",
    ),
    ("firehose", "", "it does not answer a question after many blanks", FRAMING),
    (
        "rest",
        "",
        "it asks again instead of sleeping, or waits for an event that is always there",
        "docs/reading.md#busy-waiting-a-loop-that-uses-a-whole-core",
    ),
    ("stopped", "", "it takes EINTR for a failure", "docs/reading.md#eintr-a-signal-in-between"),
    (
        "crowd",
        "",
        "it accepts one client for each event, though more wait in the accept queue",
        "docs/edges.md#the-drain-rule",
    ),
    (
        "full",
        "the server ran",
        "it waits for the listener although it cannot accept, so each wait returns at once",
        "docs/faults.md#emfile-out-of-descriptors",
    ),
    (
        "full",
        "",
        "it ends, or stops accepting for ever, when accept fails with EMFILE",
        "docs/faults.md#emfile-out-of-descriptors",
    ),
    (
        "descriptors",
        "",
        "it ends, or stops accepting for ever, when accept fails with EMFILE",
        "docs/faults.md#emfile-out-of-descriptors",
    ),
    ("idle", "", "it has no deadline for a silent client", "docs/time.md#a-deadline-is-the-timeout-of-epoll_wait"),
    (
        "drip",
        "",
        "each byte extends its deadline: only a whole question may",
        "docs/time.md#slowloris-a-byte-now-and-then",
    ),
    (
        "unread",
        "",
        "it has no deadline for output that its client does not take",
        "docs/time.md#back-pressure-the-client-does-not-read",
    ),
    (
        "term",
        "a reset",
        "it ends with input unread or answers unsent, without a handler for SIGTERM",
        "docs/signals.md#sigterm-without-a-handler-the-signal-ends-the-server-at-once",
    ),
    (
        "term",
        "goes on",
        "it does not end after its last connection has closed",
        "docs/signals.md#sigterm-with-a-handler-a-graceful-stop",
    ),
    (
        "term",
        "signal",
        "it has no handler for SIGTERM",
        "docs/signals.md#sigterm-without-a-handler-the-signal-ends-the-server-at-once",
    ),
    (
        "term",
        "",
        "it closes its connections before their answers are sent",
        "docs/signals.md#sigterm-with-a-handler-a-graceful-stop",
    ),
    (
        "term-stuck",
        "",
        "its graceful stop has no deadline, and a second signal does not end it",
        "docs/signals.md#a-second-signal-stops-the-server-at-once",
    ),
    (
        "silence",
        "",
        "it answers a datagram that is not a question: two such servers answer each other for ever",
        "docs/udp.md#forged-source-addresses-two-servers-that-answer-each-other-for-ever",
    ),
    (
        "whole",
        "",
        "its buffer is shorter than the datagram, and the rest is lost",
        "docs/udp.md#truncation-the-end-that-does-not-fit-is-lost",
    ),
    ("large", "", "it does not survive a long datagram", "docs/udp.md#truncation-the-end-that-does-not-fit-is-lost"),
    (
        "empty",
        "",
        "it takes a datagram of 0 bytes for the end",
        "docs/udp.md#an-empty-datagram-is-not-the-end-of-a-stream",
    ),
    (
        "address",
        "",
        "it listens at all addresses, and the kernel chooses the address of its answer",
        "docs/udp.md#one-udp-socket-many-peers",
    ),
    (
        "lost",
        "",
        "it does not survive a full queue, or keeps something for each question",
        "docs/udp.md#loss-the-receive-buffer-is-full",
    ),
    ("existing", "", "it treats a name that exists in another way than --existing says", "docs/files.md"),
    ("race", "", "it treats a name that exists in another way than --existing says", "docs/files.md"),
    ("half", "", "it writes a file under its final name before the file is whole", "docs/files.md"),
    ("cut", "", "it does not count the bytes that it has received", "docs/files.md"),
    ("torn", "", "it takes what one read returns for whole letters", "docs/protocols-without-io.md"),
];

/// What a demand without a row is about: the rules of its protocol.
pub(crate) const RULE: Cause =
    Cause { text: "it follows another rule than this one of its protocol", read: "docs/protocols.md" };

/// The likely cause; `death` says how the server has ended, if it has.
pub(crate) fn of(demand: &Demand, miss: &Miss, death: Option<&str>) -> Cause {
    let fits = |(name, part, ..): &&Row| {
        *name == demand.name
            && (miss.got.contains(part) || death.is_some_and(|death| !part.is_empty() && death.contains(part)))
    };
    let row = ROWS.iter().find(fits);
    row.map_or(RULE, |(.., text, read)| Cause { text, read })
}
