//! Knowledge that has one place: errno values that are not errors, and clocks.

use std::collections::BTreeSet;

use crate::paths::{Token, tokens};
use crate::source::{Source, sources};

/// Other places where such knowledge is right, and why: a file, or all files below a folder.
type Exception = (&'static str, &'static str);

/// `EAGAIN` and `EINTR` by all their names. Only `src/attempt.rs` knows what they mean.
const ERRNO: Knowledge = Knowledge {
    is_meant: |before, word, _| {
        let is_name = matches!(
            word,
            "WouldBlock" | "Interrupted" | "EAGAIN" | "EWOULDBLOCK" | "EINTR" | "AGAIN" | "INTR" | "retry_on_intr"
        );
        // The results of `attempt` and of a lock have the same name.
        is_name && !matches!(before, "Attempt" | "TryLockError")
    },
    home: "src/attempt.rs",
    exceptions: &[
        ("src/errno.rs", "the numbers and their names"),
        ("src/kernel/mio.rs", "the wait itself, which a signal ends"),
        ("src/kernel/udp/batches.rs", "a call that must be made in another way, as after a signal"),
        ("src/log_writer/output.rs", "stderr, on a thread of its own: it waits, where `attempt` would not"),
        ("src/simulation/", "it plays the kernel that returns them"),
        ("src/testing/", "it plays the kernel that returns them"),
    ],
};

/// The numbers of all other errors.
const NUMBERS: Knowledge = Knowledge {
    is_meant: |_, word, _| word == "Errno",
    home: "src/errno.rs",
    exceptions: &[("src/simulation/", "it plays the kernel that returns them")],
};

/// Readings of a clock. All other code gets the time from its `Kernel`.
const CLOCK: Knowledge = Knowledge {
    is_meant: |before, word, rest| {
        let is_call = rest.starts_with('(');
        word == "clock_gettime"
            || (word == "elapsed" && is_call)
            || (word == "now" && matches!(before, "Instant" | "SystemTime"))
    },
    home: "src/kernel/",
    exceptions: &[
        ("src/command/log_format.rs", "each line of the log says when it was written"),
        ("src/log_writer.rs", "it waits for stderr, on a thread of its own or at the end of the process"),
        ("src/log_writer/output.rs", "without a thread it waits for stderr, but only until a deadline"),
        ("src/simulation/", "an `Instant` to begin with: nothing else makes one"),
        ("src/testing.rs", "an `Instant` to begin with: nothing else makes one"),
        ("src/testing/", "an `Instant` to begin with: nothing else makes one"),
        ("src/xray/recorder.rs", "its records tell how long a call took, which the time of a turn cannot"),
    ],
};

struct Knowledge {
    /// Whether a word is such knowledge, given the word that qualifies it and the code behind it.
    is_meant: fn(&str, &str, &str) -> bool,
    home: &'static str,
    exceptions: &'static [Exception],
}

impl Knowledge {
    /// Knowledge in the wrong places, and exceptions that are not needed.
    fn problems(&self, sources: &[Source]) -> Vec<String> {
        let mut problems = Vec::new();
        let mut needed = BTreeSet::new();
        for source in sources {
            let Some(at) = self.found(source) else { continue };
            let is_there =
                |place: &str| source.path == place || (place.ends_with('/') && source.path.starts_with(place));
            match self.exceptions.iter().find(|(place, _)| is_there(place)) {
                _ if is_there(self.home) => {}
                Some((place, _)) => drop(needed.insert(place)),
                None => {
                    let line = source.text[..at].lines().count();
                    let told = source.text.lines().nth(line - 1).unwrap_or_default().trim();
                    problems.push(format!("{}:{line} knows what {} knows: {told}", source.path, self.home));
                }
            }
        }
        let unneeded = self.exceptions.iter().filter(|(place, _)| !needed.contains(place));
        problems.extend(unneeded.map(|(place, _)| format!("{place} does not need its exception any more")));
        problems
    }

    /// The first place of it in a file.
    fn found(&self, source: &Source) -> Option<usize> {
        let (mut before, mut before_that) = ("", "");
        for (at, token) in tokens(&source.code) {
            match token {
                Token::Word(word) => {
                    let qualifier = if before == "::" { before_that } else { "" };
                    if (self.is_meant)(qualifier, word, &source.code[at + word.len()..]) {
                        return Some(at + 1);
                    }
                    (before_that, before) = (before, word);
                }
                Token::Into => (before_that, before) = (before, "::"),
                Token::Other(_) => (before_that, before) = ("", ""),
            }
        }
        None
    }
}

#[test]
fn errno_is_known_in_one_place() {
    let problems = [ERRNO.problems(sources()), NUMBERS.problems(sources())].concat();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn no_clock_is_read_outside_the_kernel() {
    let problems = CLOCK.problems(sources());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[cfg(test)]
mod tests {
    use super::{CLOCK, ERRNO, Knowledge, NUMBERS};
    use crate::source::Source;

    fn problems(knowledge: &Knowledge, path: &str, text: &str) -> Vec<String> {
        let without = Knowledge { exceptions: &[], ..*knowledge };
        without.problems(&[Source::new(path, &["x"], text)])
    }

    #[test]
    fn each_name_of_it_is_found_where_it_should_not_be() {
        for text in ["io::ErrorKind::WouldBlock", "a == ErrorKind::Interrupted", "Err(Errno::AGAIN)", "libc::EINTR"] {
            let told = format!("src/x.rs:1 knows what src/attempt.rs knows: {text}");
            assert_eq!(problems(&ERRNO, "src/x.rs", text), [told]);
        }
        assert_eq!(problems(&ERRNO, "src/attempt.rs", "ErrorKind::WouldBlock"), [""; 0]);
        for text in ["Attempt::WouldBlock", "Err(TryLockError::WouldBlock)", "// EAGAIN", "\"EAGAIN\""] {
            assert_eq!(problems(&ERRNO, "src/x.rs", text), [""; 0]);
        }
        assert_eq!(problems(&NUMBERS, "src/x.rs", "Errno::EPIPE").len(), 1);
        assert_eq!(problems(&NUMBERS, "src/errno.rs", "Errno::EPIPE"), [""; 0]);
        for text in ["Instant::now()", "std::time::SystemTime::now", "start.elapsed()", "\nclock_gettime(Monotonic)"] {
            assert_eq!(problems(&CLOCK, "src/x.rs", text).len(), 1, "{text}");
            assert_eq!(problems(&CLOCK, "src/kernel/x.rs", text), [""; 0]);
        }
        for text in ["self.kernel.now()", "elapsed: Duration", "report.elapsed = 0"] {
            assert_eq!(problems(&CLOCK, "src/x.rs", text), [""; 0]);
        }
    }

    #[test]
    fn an_unneeded_exception_is_reported() {
        let loose = Knowledge { exceptions: &[("src/x.rs", "")], ..CLOCK };
        assert_eq!(
            loose.problems(&[Source::new("src/x.rs", &["x"], "")]),
            ["src/x.rs does not need its exception any more"]
        );
    }
}
