//! The parts that may differ between two runs of a lab.

use regex_lite::Regex;

use crate::dialects;

/// Matches anything within a line; alone on a line, any lines.
pub(crate) const HOLE: &str = "…";

/// Ends a line without a newline: the prompt is right behind it.
pub(crate) const UNENDED: char = '⊣';

const BLANKS: &str = r"[ \t]+";

/// What `<!-- varies: NAME, /REGEX/ -->` may name.
const NAMED: [(&str, &str); 7] = [
    ("time", r"(?:\d{4}-\d\d-\d\dT|\d{4}/\d\d/\d\d )?\d\d:\d\d:\d\d(?:\.\d+)?Z?"),
    // The ports of clients on Linux (`ip(7)`: ip_local_port_range).
    ("port", r"\b(?:3276[89]|327[789]\d|32[89]\d\d|3[3-9]\d{3}|[45]\d{4}|60\d{3})\b"),
    ("pid", r"\bpid[= ] *\d+|\bProcess \d+|^\[\d+\] \d+$"),
    ("number", r"\d+(?:\.\d+)?"),
    // Values that a new connection chooses: sequence numbers on the wire, timestamps, and values that depend on them.
    ("tcp", r"\b(?:seq|ack) \d{6,}(?::\d{6,})?|\bTS val \d+ ecr \d+|\bcksum 0x[0-9a-f]+|\bid \d+"),
    // Columns that depend on the width of the terminal or of their contents.
    ("blanks", BLANKS),
    // In memory, as on x86-64 and most 64-bit ARM; a token is shorter. Shorter addresses, of 39 bits, would not match.
    ("address", r"\b0x[0-9a-f]{12}\b"),
];

/// The masks of one lab.
#[derive(Default)]
pub(crate) struct Varies(Vec<Regex>);

/// How far lines agree with what is printed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Agreement {
    /// They are the same.
    Whole,
    /// More has to follow.
    Part,
    /// No more output can make them the same.
    None,
}

impl Varies {
    /// Adds the masks of a comment: names and regular expressions between slashes, with commas between them.
    pub(crate) fn add(&mut self, list: &str) -> Result<(), String> {
        let mut rest = list;
        while !rest.is_empty() {
            let (regex, after) = if let Some(begun) = rest.strip_prefix('/') {
                let end = begun.find("/,").or_else(|| begun.strip_suffix('/').map(str::len));
                let end = end.ok_or_else(|| format!("no slash ends the expression in: {rest}"))?;
                (&begun[..end], &begun[end + 1..])
            } else {
                let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                let known = NAMED.iter().find(|(known, _)| *known == name);
                (known.ok_or_else(|| format!("nothing named {name:?} varies"))?.1, after)
            };
            self.0.push(Regex::new(regex).map_err(|error| format!("{regex}: {error}"))?);
            rest = after.trim_start_matches(',').trim_start();
        }
        // Other varying parts may contain blanks, and must be found before blanks are removed.
        self.0.sort_by_key(|mask| mask.as_str() == BLANKS);
        Ok(())
    }

    /// A line with a mark for each thing that varies, so that two lines are the same if only such things differ.
    fn masked(&self, line: &str) -> String {
        let mut masked = dialects::translated(line).into_owned();
        for (index, regex) in self.0.iter().enumerate() {
            masked = regex.replace_all(&masked, format!("\u{1}{index}\u{2}")).into_owned();
        }
        masked
    }

    /// Whether a line is the printed one.
    pub(crate) fn same_line(&self, printed: &str, seen: &str) -> bool {
        if printed.ends_with(UNENDED) != seen.ends_with(UNENDED) {
            return false;
        }
        let (printed, seen) = (self.masked(printed), self.masked(seen));
        let mut pieces = printed.split(HOLE);
        let Some(mut rest) = pieces.next().and_then(|first| seen.strip_prefix(first)) else { return false };
        let mut pieces: Vec<_> = pieces.collect();
        let Some(last) = pieces.pop() else { return rest.is_empty() };
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else { return false };
            rest = after;
        }
        rest.ends_with(last)
    }

    /// Whether lines are the printed ones.
    pub(crate) fn agrees(&self, printed: &[String], seen: &[String]) -> bool {
        self.agreement(printed, seen) == Agreement::Whole
    }

    /// Compares all lines.
    pub(crate) fn agreement(&self, printed: &[String], seen: &[String]) -> Agreement {
        let mut places = vec![false; printed.len() + 1];
        places[0] = true;
        pass_holes(printed, &mut places);
        for line in seen {
            let mut next = vec![false; printed.len() + 1];
            for (index, expected) in printed.iter().enumerate().filter(|(index, _)| places[*index]) {
                if expected == HOLE {
                    next[index] = true;
                } else if self.same_line(expected, line) {
                    next[index + 1] = true;
                }
            }
            pass_holes(printed, &mut next);
            places = next;
        }
        match places[printed.len()] {
            true => Agreement::Whole,
            false if places.contains(&true) => Agreement::Part,
            false => Agreement::None,
        }
    }
}

/// A line that is a hole may also stand for no lines.
fn pass_holes(printed: &[String], places: &mut [bool]) {
    for (index, line) in printed.iter().enumerate() {
        if places[index] && line == HOLE {
            places[index + 1] = true;
        }
    }
}
