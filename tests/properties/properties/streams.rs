//! Properties of every protocol over TCP, and the answers that a peer of each gets.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reactor::protocol::greeting::Greeting;
use reactor::protocol::sum::Sum;
use reactor::protocol::time::Time;
use reactor::protocol::uppercase::Uppercase;
use reactor::protocol::{CloseReason, Setup, StreamProtocol, StreamService};
use reactor::testing::{Edges, Links, MemoryDisk, Script, converse};

use super::play::{Play, READ_BYTES};
use super::{PEER, models};

/// Opens a service with its files on a disk, and returns the protocol of one connection.
pub(crate) type Open = dyn Fn(&MemoryDisk) -> Box<dyn StreamProtocol>;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The visible results of a conversation.
#[derive(PartialEq)]
pub(crate) struct Outcome {
    pub(crate) sent: Vec<u8>,
    pub(crate) reason: CloseReason,
    pub(crate) refused: String,
    pub(crate) files: Files,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\", {}, refused: {}", self.sent.escape_ascii(), self.reason, self.refused)?;
        self.files.iter().try_for_each(|(name, contents)| write!(f, ", {name:?}: \"{}\"", contents.escape_ascii()))
    }
}

/// No deadline expires for a peer that is silent for less than this.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The longest stream that is tried byte by byte; a longer one takes larger pieces, so that a fuzzer gets on.
const CRUMBS_MAX: usize = 256;

/// The service of a type, with the given options.
pub(crate) fn open<S: StreamService>(options: S::Options, disk: &MemoryDisk) -> Box<dyn StreamProtocol> {
    S::open(options, &Setup::new(S::NAME, Arc::new(disk.clone())))
        .expect("a disk in memory opens")
        .connect(&PEER.into())
        .expect("every peer is served")
}

pub(crate) fn open_default<S: StreamService>(disk: &MemoryDisk) -> Box<dyn StreamProtocol> {
    open::<S>(S::Options::default(), disk)
}

/// Plays `script` on an empty disk. In every case: no panic, no draft stays behind, stored files would survive a power
/// loss, and output has a bound.
pub(crate) fn it_ends_well(service: &Open, script: &Script, pending_bytes_max: usize) -> Outcome {
    let disk = MemoryDisk::new();
    let transcript = converse(service(&disk), script);
    assert!(!matches!(transcript.reason, CloseReason::Bug(_)), "{}", transcript.reason);
    assert_eq!(disk.drafts(), 0, "a draft stays behind after {}", transcript.reason);
    let files = files_of(&disk);
    assert_eq!(files_of(&disk.after_crash(Links::Lost)), files, "a file is linked and not durable");
    // A full outbox stops reading; the answer to one read comes on top.
    let bound = pending_bytes_max + 3 * READ_BYTES;
    assert!(transcript.pending_bytes_max <= bound, "{} bytes are pending", transcript.pending_bytes_max);
    Outcome { sent: transcript.sent, reason: transcript.reason, refused: transcript.stats.refused.to_string(), files }
}

pub(crate) fn files_of(disk: &MemoryDisk) -> Files {
    disk.names().into_iter().filter_map(|name| Some((name.clone(), disk.contents(&name)?))).collect()
}

/// A peer that sends `stream` and finishes sees the same however its bytes are split and whatever the kernel promises
/// about reads. Returns what it sees.
pub(crate) fn splitting_changes_nothing(service: &Open, stream: &[u8], cuts: &[usize]) -> Outcome {
    let whole = it_ends_well(service, &Script::new().send_fin(stream), usize::MAX / 2);
    let mut chunks = Vec::new();
    let mut start = 0;
    for &cut in cuts {
        chunks.push(&stream[start..cut]);
        start = cut;
    }
    chunks.push(&stream[start..]);
    let crumb = if stream.len() <= CRUMBS_MAX { 1 } else { stream.len() / 64 };
    let crumbs: Vec<_> = stream.chunks(crumb).collect();
    for (edges, chunks) in [(Edges::ShortReads, &chunks), (Edges::WouldBlock, &crumbs), (Edges::Urgent, &crumbs)] {
        let split = Script::new().edges(edges).send_all(chunks).fin();
        assert_eq!(it_ends_well(service, &split, usize::MAX / 2), whole, "{edges:?}, {} chunks", chunks.len());
    }
    whole
}

/// All of the above; and an undisturbed peer that pauses for at most `patience` sees the same as a peer that sends
/// everything at once. Returns first what the peer that sends at once sees, then what the other one sees.
pub(crate) fn a_peer_is_served(service: &Open, play: &Play, patience: Duration) -> (Outcome, Outcome) {
    let whole = splitting_changes_nothing(service, &play.stream, &play.cuts);
    let played = it_ends_well(service, &play.script, play.limits.max_pending_output);
    if !play.broken && play.silence < patience {
        assert_eq!(played, whole, "undisturbed");
    }
    (whole, played)
}

pub(crate) fn sum(text: &[u8]) {
    let play = Play::parse(text);
    let (whole, played) = a_peer_is_served(&open_default::<Sum>, &play, DEADLINE);
    assert!(whole.sent.starts_with(&played.sent), "what a peer gets before it is cut off is the beginning of it all");
    models::check_sums(&play.stream, &whole);
}

pub(crate) fn uppercase(text: &[u8]) {
    let play = Play::parse(text);
    let (whole, played) = a_peer_is_served(&|_| Uppercase::default().boxed(), &play, DEADLINE);
    let expected = models::uppercase(&play.stream);
    assert!(whole.sent == expected, "{whole:?} instead of \"{}\"", expected.escape_ascii());
    // A peer that is cut off gets the beginning of the answer to its input so far.
    let mut ends = play.cuts.iter().copied().chain([play.stream.len()]);
    let is_beginning = |end| models::uppercase(&play.stream[..end]).starts_with(&played.sent);
    assert!(whole.sent.starts_with(&played.sent) || ends.any(is_beginning), "{played:?}");
}

pub(crate) fn time(text: &[u8]) {
    let play = Play::parse(text);
    let (whole, played) = a_peer_is_served(&|_| Time.boxed(), &play, DEADLINE);
    assert_eq!(whole.sent, b"1970-01-01T00:00:00.000000Z\n");
    assert!(whole.sent.starts_with(&played.sent));
}

/// The split of the bytes shows here, on purpose: each segment is read alone and answered once.
pub(crate) fn greeting(text: &[u8]) {
    const GREETING: &[u8] = b"This is Server\n";
    let play = Play::parse(text);
    let played = it_ends_well(&open_default::<Greeting>, &play.script, play.limits.max_pending_output);
    assert!(GREETING.repeat(played.sent.len() / GREETING.len() + 1).starts_with(&played.sent));
    let reads = play.stream.len().min(play.cuts.len() + 1 + play.stream.len() / READ_BYTES);
    if !play.broken && play.silence < DEADLINE {
        assert!(played.sent.len().is_multiple_of(GREETING.len()) && (reads == 0 || !played.sent.is_empty()));
    }
    // The one possible fault shortens a read to one byte, and makes two reads of it.
    assert!(played.sent.len() <= (reads + 1) * GREETING.len(), "more greetings than reads");
}
