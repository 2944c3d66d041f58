//! Properties of `admin`, which answers requests by HTTP.

use reactor::protocol::admin::Admin;
use reactor::testing::Script;

use super::play::Play;
use super::streams::{Outcome, it_ends_well, open_default};

/// More than an answer may have: the live page.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// The longest stream that is sent byte by byte.
const CRUMBS_MAX: usize = 512;

/// The statuses after which nothing can be said about where the next request begins.
const LAST: [&str; 6] = ["400", "408", "413", "414", "431", "505"];

/// The status of each answer. What the bodies say may differ: memory and time of the process are among the metrics.
fn statuses(outcome: &Outcome) -> Vec<String> {
    let sent = String::from_utf8_lossy(&outcome.sent);
    sent.match_indices("HTTP/1.1 ")
        .filter(|(at, _)| *at == 0 || !sent[..*at].ends_with(['"', ' ']))
        .map(|(at, head)| sent[at + head.len()..].chars().take(3).collect())
        .collect()
}

/// A request ends where it ends however the stream is split, and nothing is answered after a request that is malformed or has a
/// body.
pub(crate) fn admin(text: &[u8]) {
    let play = Play::parse(text);
    it_ends_well(&open_default::<Admin>, &play.script, play.limits.max_pending_output + ANSWER_BYTES_MAX);

    let serve = |script: &Script| it_ends_well(&open_default::<Admin>, script, usize::MAX / 2);
    let whole = serve(&Script::new().send_fin(&play.stream));
    let answers = statuses(&whole);
    if let Some(last) = answers.iter().position(|status| LAST.contains(&status.as_str())) {
        // A wrong parameter is a 400 too, and the connection goes on after it.
        let is_parameter = answers[last] == "400" && play.stream.contains(&b'?');
        assert!(last + 1 == answers.len() || is_parameter, "{whole:?}");
    }
    let ends = play.stream.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
    assert!(answers.len() <= ends + 1, "{} answers to {ends} heads: {whole:?}", answers.len());
    let crumb = if play.stream.len() <= CRUMBS_MAX { 1 } else { play.stream.len() / 64 };
    let crumbs: Vec<_> = play.stream.chunks(crumb).collect();
    let split = serve(&Script::new().send_all(&crumbs).fin());
    assert_eq!((statuses(&split), split.reason), (answers, whole.reason));
}
