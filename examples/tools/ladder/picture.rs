//! A ladder: two lines for two sides, time goes down, and each segment is an arrow from one side to the other.

use std::fmt::Write;

use crate::capture::{self, Item, Segment};

/// The first lines of the drawing: letters and ground are dark or light together, as the reader has it.
const STYLE: &str = "<style>svg{color:#1f2328}text{fill:currentColor;font-family:sans-serif;font-size:13px}\
    .ground{fill:#fff}.lost{stroke:#d1242f;stroke-width:2}\
    @media(prefers-color-scheme:dark){svg{color:#e6edf3}.ground{fill:#0d1117}.lost{stroke:#ff7b72}}</style>";
const LEFT: f64 = 130.0;
const RIGHT: f64 = 570.0;
const WIDTH: f64 = 700.0;
const TOP: f64 = 40.0;
/// How far an arrow goes down.
const SLOPE: f64 = 14.0;
/// Between two arrows; with times, pixels for a second too, up to a limit.
const STEP: f64 = 40.0;
const SECOND: f64 = 90.0;
const STEP_MAX: f64 = 170.0;
/// How far the arrow of a lost segment gets.
const LOST: f64 = 0.7;

/// What to draw of a capture.
pub(crate) struct Choice {
    /// The first segment, counted from 1, and the last.
    pub(crate) first: usize,
    pub(crate) last: usize,
    /// Whether to print the windows.
    pub(crate) windows: bool,
}

impl Choice {
    /// Reads `3-7`, `3-` or `3-7 windows`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (range, windows) = text.split_once(' ').map_or((text, false), |(range, rest)| (range, rest == "windows"));
        let (first, last) = range.split_once('-')?;
        let last = if last.is_empty() { usize::MAX } else { last.parse().ok()? };
        Some(Self { first: first.parse().ok().filter(|first| *first >= 1)?, last, windows })
    }
}

/// The picture of some segments, as SVG. The left side is the sender of the capture's first segment.
pub(crate) fn draw(items: &[Item], choice: &Choice) -> Option<String> {
    let first = items.iter().find_map(segment)?;
    let sides = [first.from.as_str(), first.to.as_str()];
    let mut arrows = String::new();
    let mut y = TOP + 24.0;
    let mut number = 0;
    let mut before: Option<&Segment> = None;
    let mut start = None;
    for (index, item) in items.iter().enumerate() {
        let Some(segment) = segment(item) else {
            // Only between two segments that are drawn.
            if before.is_some() && number < choice.last {
                hole(&mut arrows, y + SLOPE / 2.0 + STEP);
                y += STEP;
            }
            continue;
        };
        number += 1;
        if number < choice.first || number > choice.last {
            continue;
        }
        if let Some(before) = before {
            let pause = segment.time.zip(before.time).map_or(0.0, |(now, then)| now - then);
            y += (pause * SECOND).clamp(STEP, STEP_MAX);
        }
        let begin = *start.get_or_insert(segment.time);
        if let Some((now, begin)) = segment.time.zip(begin) {
            let _ =
                writeln!(arrows, r#"<text x="{}" y="{y}" text-anchor="end">{:.3} s</text>"#, LEFT - 14.0, now - begin);
        }
        let scale = scale_of(items, &segment.from);
        let label = label(segment, scale.filter(|_| choice.windows), choice.windows);
        arrow(&mut arrows, y, segment.from == sides[0], capture::is_lost(items, index), &label);
        before = Some(segment);
    }
    before?;
    Some(framed(&arrows, sides, y + SLOPE + 24.0))
}

fn segment(item: &Item) -> Option<&Segment> {
    match item {
        Item::Segment(segment) => Some(segment),
        Item::Hole => None,
    }
}

/// The shift of the windows of one side, if its SYN is in the capture.
fn scale_of(items: &[Item], side: &str) -> Option<u32> {
    items.iter().filter_map(segment).find_map(|segment| segment.scale.filter(|_| segment.from == side))
}

fn label(segment: &Segment, scale: Option<u32>, windows: bool) -> String {
    let names = [('S', "SYN"), ('F', "FIN"), ('R', "RST"), ('P', "PSH"), ('.', "ACK")];
    let flags: Vec<_> = names.iter().filter(|(flag, _)| segment.flags.contains(*flag)).map(|(_, name)| *name).collect();
    let mut label = flags.join("+");
    if let Some(seq) = &segment.seq {
        let _ = write!(label, ", seq {seq}");
    }
    if let Some(ack) = segment.ack {
        let _ = write!(label, ", ack {ack}");
    }
    if segment.length > 0 {
        let _ = write!(label, ", {} bytes", segment.length);
    }
    if windows {
        // The window of a SYN is not shifted (RFC 7323, section 2.2).
        let shift = if segment.flags.contains('S') { 0 } else { scale.unwrap_or(0) };
        let _ = write!(label, ", window {}", segment.window << shift.min(14));
    }
    label
}

fn arrow(to: &mut String, y: f64, is_right: bool, is_lost: bool, label: &str) {
    let (from_x, to_x) = if is_right { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
    let part = if is_lost { LOST } else { 1.0 };
    let (end_x, end_y) = (from_x + (to_x - from_x) * part, y + SLOPE * part);
    let head = if is_lost { "" } else { r#" marker-end="url(#head)""# };
    let _ =
        writeln!(to, r#"<line x1="{from_x}" y1="{y}" x2="{end_x:.1}" y2="{end_y:.1}" stroke="currentColor"{head}/>"#);
    if is_lost {
        let (left, right, up, down) = (end_x - 6.0, end_x + 6.0, end_y - 6.0, end_y + 6.0);
        let _ = writeln!(
            to,
            r#"<path class="lost" d="M{left:.1},{up:.1}L{right:.1},{down:.1}M{left:.1},{down:.1}L{right:.1},{up:.1}"/>"#
        );
        let _ = writeln!(to, r#"<text x="{:.1}" y="{:.1}">lost</text>"#, end_x + 14.0, end_y + 4.0);
    }
    let (middle_x, middle_y) = ((from_x + end_x) / 2.0, (y + end_y) / 2.0);
    let angle = (SLOPE / (RIGHT - LEFT)).atan().to_degrees() * if is_right { 1.0 } else { -1.0 };
    let turn = format!("rotate({angle:.2} {middle_x} {middle_y})");
    let above = middle_y - 5.0;
    let _ =
        writeln!(to, r#"<text x="{middle_x}" y="{above:.1}" text-anchor="middle" transform="{turn}">{label}</text>"#);
}

fn hole(to: &mut String, y: f64) {
    let _ = writeln!(to, r#"<text x="{}" y="{y}" text-anchor="middle">⋮</text>"#, (LEFT + RIGHT) / 2.0);
}

/// The arrows with the two sides, their names, and the ground.
fn framed(arrows: &str, sides: [&str; 2], height: f64) -> String {
    let mut svg =
        format!("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\">\n");
    let _ = writeln!(svg, "{STYLE}");
    svg.push_str(
        "<defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"10\" refY=\"5\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><path d=\"M0,1L10,5L0,9z\" fill=\"currentColor\"/></marker></defs>\n",
    );
    let _ = writeln!(svg, r#"<rect class="ground" width="100%" height="100%"/>"#);
    for (x, side) in [(LEFT, sides[0]), (RIGHT, sides[1])] {
        // tcpdump puts a dot before the port.
        let name =
            side.rsplit_once('.').map_or_else(|| side.to_owned(), |(address, port)| format!("{address}, port {port}"));
        let _ =
            writeln!(svg, r#"<text x="{x}" y="24" text-anchor="middle" font-weight="bold">{}</text>"#, escaped(&name));
        let _ =
            writeln!(svg, r#"<line x1="{x}" y1="{TOP}" x2="{x}" y2="{:.0}" stroke="currentColor"/>"#, height - 10.0);
    }
    svg + arrows + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Choice, draw};
    use crate::capture;

    const CAPTURE: &str = "\
IP 10.0.0.1.4000 > 10.0.0.2.7000: Flags [S], seq 9, win 60000, options [mss 1460,wscale 7], length 0
IP 10.0.0.1.4000 > 10.0.0.2.7000: Flags [S], seq 9, win 60000, options [mss 1460,wscale 7], length 0
…
IP 10.0.0.1.4000 > 10.0.0.2.7000: Flags [P.], seq 1:7, ack 1, win 10, length 6
IP 10.0.0.2.7000 > 10.0.0.1.4000: Flags [F.], seq 1, ack 7, win 3, length 0
";

    fn drawn(choice: &str) -> Option<String> {
        let items = capture::items(CAPTURE.lines());
        draw(&items, &Choice::parse(choice)?)
    }

    #[test]
    fn every_chosen_segment_is_an_arrow_and_a_lost_one_does_not_arrive() {
        let picture = drawn("1-").unwrap();
        assert_eq!(picture.matches("marker-end").count(), 3, "{picture}");
        assert_eq!(picture.matches("class=\"lost\"").count(), 1, "{picture}");
        assert_eq!(picture.matches('⋮').count(), 1, "{picture}");
        assert!(picture.contains(">FIN+ACK, seq 1, ack 7<") && picture.contains(">10.0.0.1, port 4000<"), "{picture}");
        let end = drawn("4-4").unwrap();
        assert!(end.matches("marker-end").count() == 1 && !end.contains('⋮'), "{end}");
    }

    #[test]
    fn a_window_is_in_bytes() {
        let picture = drawn("1- windows").unwrap();
        assert!(picture.contains(">SYN, seq 9, window 60000<"), "{picture}");
        assert!(picture.contains("6 bytes, window 1280<"), "{picture}");
        assert!(picture.contains("ack 7, window 3<"), "the other SYN is not in the capture: {picture}");
    }

    #[test]
    fn a_choice_without_a_segment_is_refused() {
        for choice in ["5-", "0-1", "x", "1-x"] {
            assert_eq!(drawn(choice), None, "{choice}");
        }
    }
}
