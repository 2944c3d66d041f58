//! Lines of `tcpdump`, as it prints TCP without `-q`.

/// In a transcript: any lines, or none.
pub(crate) const HOLE: &str = "…";

/// A segment of TCP, or a place where segments are left out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Segment(Segment),
    Hole,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Segment {
    /// Seconds since midnight, if the line has a time.
    pub(crate) time: Option<f64>,
    pub(crate) from: String,
    pub(crate) to: String,
    /// As `tcpdump` prints them: `S.`
    pub(crate) flags: String,
    /// The number of the first byte, and of the first one behind it if there are bytes: `1:7`
    pub(crate) seq: Option<String>,
    pub(crate) ack: Option<u64>,
    pub(crate) window: u64,
    /// The shift that a SYN announces for the windows of its sender.
    pub(crate) scale: Option<u32>,
    pub(crate) length: u64,
}

impl Segment {
    /// Returns `None` for a line that is not a segment.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (head, fields) = line.split_once(": Flags [")?;
        let (flags, fields) = fields.split_once(']')?;
        let (source, to) = head.split_once(" > ")?;
        let mut words = source.split_whitespace().rev();
        let from = words.next()?;
        words.next().filter(|family| family.starts_with("IP"))?;
        let time = match words.next() {
            Some(time) => Some(seconds(time)?),
            None => None,
        };
        let (plain, options) = fields.split_once("options [").unwrap_or((fields, ""));
        let (options, rest) = options.split_once(']').unwrap_or(("", options));
        let value = |name: &str| {
            let mut fields = plain.split(", ").chain(rest.split(", "));
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix(' '))
        };
        let scale = options.split(',').find_map(|option| option.strip_prefix("wscale ")?.parse().ok());
        Some(Self {
            time,
            from: from.to_owned(),
            to: to.to_owned(),
            flags: flags.to_owned(),
            seq: value("seq").map(str::to_owned),
            ack: value("ack").and_then(|ack| ack.parse().ok()),
            window: value("win")?.trim_end_matches(',').parse().ok()?,
            scale,
            length: value("length")?.split(':').next()?.parse().ok()?,
        })
    }

    /// A SYN, a FIN or bytes: what is sent again if it is lost.
    fn counts(&self) -> bool {
        self.length > 0 || self.flags.contains(['S', 'F'])
    }

    fn answers(&self, other: &Self) -> bool {
        self.from == other.to && self.ack.is_some_and(|ack| other.end().is_none_or(|end| ack >= end))
    }

    /// The number behind its last byte. It is known once both sides have seen a SYN and `tcpdump` counts from 1.
    fn end(&self) -> Option<u64> {
        self.seq.as_deref()?.split_once(':')?.1.parse().ok()
    }
}

/// `18:25:20.934776`
fn seconds(time: &str) -> Option<f64> {
    let parts: Option<Vec<f64>> = time.split(':').map(|part| part.parse().ok()).collect();
    match parts?[..] {
        [hours, minutes, seconds] => Some((hours * 60.0 + minutes) * 60.0 + seconds),
        _ => None,
    }
}

/// The segments in lines, and the holes between them. Other lines are skipped.
pub(crate) fn items<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Item> {
    let mut items = Vec::new();
    for line in lines {
        if let Some(segment) = Segment::parse(line) {
            items.push(Item::Segment(segment));
        } else if line == HOLE && matches!(items.last(), Some(Item::Segment(_))) {
            items.push(Item::Hole);
        }
    }
    if items.last() == Some(&Item::Hole) {
        items.pop();
    }
    items
}

/// Whether the segment at this place did not arrive: its sender sends it again before it is answered.
pub(crate) fn is_lost(items: &[Item], index: usize) -> bool {
    let Item::Segment(segment) = &items[index] else { return false };
    let later = items[index + 1..].iter().filter_map(|item| match item {
        Item::Segment(later) => Some(later),
        Item::Hole => None,
    });
    let is_again = |later: &Segment| later.from == segment.from && later.counts() && later.seq == segment.seq;
    segment.counts() && later.take_while(|later| !later.answers(segment)).any(is_again)
}

#[cfg(test)]
mod tests {
    use super::{Item, Segment, is_lost, items};

    const SYN: &str = "IP 127.0.0.1.40000 > 127.0.0.1.7000: Flags [S], seq 2085581578, win 65495, \
                       options [mss 65495,nop,nop,sackOK,nop,wscale 10], length 0";
    const BYTES: &str = "18:25:20.725093 IP6 ::1.60554 > ::1.7000: Flags [P.], seq 1:7, ack 1, win 63, length 6";
    const ANSWER: &str = "18:25:24.083020 IP6 ::1.7000 > ::1.60554: Flags [.], ack 7, win 63, length 0";

    #[test]
    fn the_fields_of_a_line_are_found() {
        let syn = Segment::parse(SYN).unwrap();
        assert_eq!((syn.from.as_str(), syn.to.as_str()), ("127.0.0.1.40000", "127.0.0.1.7000"));
        assert_eq!((syn.flags.as_str(), syn.seq.as_deref(), syn.ack), ("S", Some("2085581578"), None));
        assert_eq!((syn.window, syn.scale, syn.length, syn.time), (65495, Some(10), 0, None));
        let bytes = Segment::parse(BYTES).unwrap();
        assert_eq!((bytes.seq.as_deref(), bytes.ack, bytes.length, bytes.scale), (Some("1:7"), Some(1), 6, None));
        assert_eq!(bytes.time, Some(66320.725093));
        for line in ["", "listening on lo, link-type EN10MB", "IP 127.0.0.1.7000 > 127.0.0.1.40000: tcp 0"] {
            assert_eq!(Segment::parse(line), None);
        }
    }

    #[test]
    fn a_hole_is_between_two_segments() {
        let lines = ["…", "listening", SYN, "…", "…", "other", SYN, "…"];
        let items = items(lines.into_iter());
        assert!(matches!(items[..], [Item::Segment(_), Item::Hole, Item::Segment(_)]), "{items:?}");
    }

    #[test]
    fn what_is_sent_again_without_an_answer_was_lost() {
        let lost = |lines: &[&str]| {
            let items = items(lines.iter().copied());
            (0..items.len()).map(|index| is_lost(&items, index)).collect::<Vec<_>>()
        };
        assert_eq!(lost(&[BYTES, BYTES, "…", BYTES, ANSWER]), [true, true, false, false, false]);
        assert_eq!(lost(&[BYTES, ANSWER, BYTES]), [false, false, false]);
        assert_eq!(lost(&[SYN, SYN]), [true, false]);
        assert_eq!(lost(&[ANSWER, ANSWER]), [false, false]);
    }
}
