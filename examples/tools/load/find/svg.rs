//! The curve of a search as SVG: a file of its own, the same for the same steps.
//!
//! It reads on light and dark screens: text and axes have `currentColor`, which the style sets for either. It reads for the
//! colour-blind: the colours are those of Okabe and Ito (<https://jfly.uni-koeln.de/color/>), and each line has its own dashes and
//! marker. For screen readers `<desc>` lists all steps.

use std::fmt::Write as _;
use std::time::Duration;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 88.0;
const BOTTOM: f64 = HEIGHT - 56.0;
/// Between the axes and the first and last points.
const INSET: f64 = 20.0;
/// The longest heading, in characters; `<title>` has all of it.
const HEADING_MAX: usize = 88;
/// A longer axis, as the ratio of its ends, has a tick for each power of ten only.
const FINE_MAX: f64 = 300.0;

const STYLE: &str = "
svg { color: #1f2328; font: 13px system-ui, sans-serif }
.ground, .breaks { fill: #ffffff }
.p50 { color: #0072b2 }
.p99 { color: #d55e00 }
.limit { color: #009e73 }
@media (prefers-color-scheme: dark) {
  svg { color: #e6edf3 }
  .ground, .breaks { fill: #0d1117 }
  .p50 { color: #56b4e9 }
}
.heading { font-size: 14px; font-weight: 600 }
text { fill: currentColor }
.line { fill: none; stroke: currentColor; stroke-width: 2 }
.axis { fill: none; stroke: currentColor }
.grid { stroke: currentColor; stroke-opacity: 0.15 }
.holds { fill: currentColor }
.holds, .breaks { stroke: currentColor; stroke-width: 1.5 }
";

/// What is drawn.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    /// By rising rate.
    pub(super) points: Vec<Point>,
    /// The latencies that the conditions allow, each with its condition.
    pub(super) limits: &'a [(String, Duration)],
    /// The highest rate that holds.
    pub(super) knee: Option<u64>,
    /// What the search has found, in words.
    pub(super) found: &'a str,
}

/// A step: its rate, and its latencies if there was an answer.
pub(super) struct Point {
    pub(super) rate: u64,
    pub(super) latencies: Option<[Duration; 2]>,
    pub(super) holds: bool,
}

/// A logarithmic axis: its first and last values, and where they are.
struct Axis {
    values: [f64; 2],
    places: [f64; 2],
}

impl Axis {
    /// An axis that has these values, and a factor beside them. `None` without a value.
    fn over(values: impl Iterator<Item = f64>, beside: f64, places: [f64; 2]) -> Option<Self> {
        let values = values.map(|value| value.max(1e-9));
        let ends = values.fold((f64::INFINITY, 0.0_f64), |(first, last), value| (first.min(value), last.max(value)));
        (ends.1 > 0.0).then_some(Self { values: [ends.0 / beside, ends.1 * beside], places })
    }

    fn place(&self, value: f64) -> f64 {
        let [first, last] = self.values.map(f64::ln);
        let part = (value.max(1e-9).ln() - first) / (last - first);
        self.places[0] + part * (self.places[1] - self.places[0])
    }

    /// Round numbers on the axis: 1, 2 and 5 times the powers of ten, or the powers alone.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let [first, last] = self.values;
        let digits: &[f64] = if last / first > FINE_MAX { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let all = (-9..10).flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)));
        all.filter(move |tick| (first..=last).contains(tick))
    }
}

impl Plot<'_> {
    pub(super) fn svg(&self) -> String {
        let title = escaped(self.title);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" role=\"img\" \
             aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{title}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"heading\" x=\"24\" y=\"24\">{}</text>\n<text x=\"24\" y=\"46\">knee: {}</text>\n",
            escaped(&self.description()),
            escaped(&shortened(self.title)),
            escaped(self.found),
        );
        let rates = self.points.iter().map(|point| point.rate as f64);
        let latencies = self.points.iter().filter_map(|point| point.latencies).flatten();
        let latencies = latencies.chain(self.limits.iter().map(|(_, limit)| *limit)).map(|span| span.as_secs_f64());
        let x = Axis::over(rates, 1.1, [LEFT + INSET, RIGHT - INSET]);
        let y = Axis::over(latencies, 1.3, [BOTTOM, TOP]);
        if let (Some(x), Some(y)) = (x, y) {
            self.axes(&mut svg, &x, &y);
            self.marks(&mut svg, &x, &y);
            self.line(&mut svg, &x, &y, 0);
            self.line(&mut svg, &x, &y, 1);
        } else {
            svg.push_str("<text x=\"24\" y=\"88\">no step has ended</text>\n");
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn description(&self) -> String {
        let mut text = format!("Latencies by rate. Knee: {}.", self.found);
        for Point { rate, latencies, holds } in &self.points {
            let how = if *holds { "holds" } else { "breaks" };
            // Writing to a string cannot fail.
            let _ = match latencies {
                Some([p50, p99]) => write!(text, " {rate}/s {how}: p50 {p50:.1?}, p99 {p99:.1?}."),
                None => write!(text, " {rate}/s {how}: no answer."),
            };
        }
        text
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for tick in y.ticks() {
            let place = y.place(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {place:.1}H{RIGHT}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                LEFT - 8.0,
                place + 4.0,
                span(tick)
            );
        }
        for tick in x.ticks() {
            let place = x.place(tick);
            let _ = writeln!(
                svg,
                "<path class=\"axis\" d=\"M{place:.1} {BOTTOM}v5\"/>\
                 <text x=\"{place:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                BOTTOM + 20.0,
                rate(tick)
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">requests a second</text>\n\
             <text transform=\"translate(18 {}) rotate(-90)\" text-anchor=\"middle\">latency</text>",
            (LEFT + RIGHT) / 2.0,
            HEIGHT - 12.0,
            (TOP + BOTTOM) / 2.0,
        );
    }

    /// The latencies that are allowed, and the knee.
    fn marks(&self, svg: &mut String, x: &Axis, y: &Axis) {
        for (condition, limit) in self.limits {
            let place = y.place(limit.as_secs_f64());
            let _ = writeln!(
                svg,
                "<g class=\"limit\"><path class=\"line\" stroke-dasharray=\"10 4 2 4\" d=\"M{LEFT} {place:.1}H{RIGHT}\"/>\
                 <text x=\"{}\" y=\"{:.1}\">{}</text></g>",
                LEFT + 6.0,
                place - 5.0,
                escaped(condition)
            );
        }
        if let Some(knee) = self.knee {
            let place = x.place(knee as f64);
            let (aside, anchor) = if place > (LEFT + RIGHT) / 2.0 { (-6.0, "end") } else { (6.0, "start") };
            let _ = writeln!(
                svg,
                "<path class=\"axis\" stroke-dasharray=\"4 4\" d=\"M{place:.1} {TOP}V{BOTTOM}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{knee}/s</text>",
                place + aside,
                BOTTOM - 8.0
            );
        }
    }

    /// The line of one percentile, with its markers and its entry in the legend.
    fn line(&self, svg: &mut String, x: &Axis, y: &Axis, percentile: usize) {
        let name = ["p50", "p99"][percentile];
        let dashes = ["2 4", "none"][percentile];
        let legend = [24.0, 130.0][percentile];
        let mut course = Vec::new();
        let mut markers = marker(percentile, legend + 18.0, 66.0, true);
        for point in &self.points {
            let Some(latencies) = point.latencies else { continue };
            let (x, y) = (x.place(point.rate as f64), y.place(latencies[percentile].as_secs_f64()));
            course.push(format!("{x:.1} {y:.1}"));
            markers.push_str(&marker(percentile, x, y, point.holds));
        }
        let course = if course.is_empty() { String::new() } else { format!("M{}", course.join("L")) };
        let _ = writeln!(
            svg,
            "<g class=\"{name}\"><path class=\"line\" stroke-dasharray=\"{dashes}\" d=\"M{legend} 66h36{course}\"/>{markers}</g>\n\
             <text x=\"{}\" y=\"70\">{name}</text>",
            legend + 42.0
        );
        if percentile == 1 {
            svg.push_str("<text x=\"236\" y=\"70\">filled: all conditions hold; hollow: a condition breaks</text>\n");
        }
    }
}

/// A circle or a square.
fn marker(percentile: usize, x: f64, y: f64, holds: bool) -> String {
    let class = if holds { "holds" } else { "breaks" };
    match percentile {
        0 => format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
        _ => format!("<path class=\"{class}\" d=\"M{:.1} {:.1}h8v8h-8z\"/>", x - 4.0, y - 4.0),
    }
}

/// Returns a text that is not markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= HEADING_MAX {
        return text.to_owned();
    }
    text.chars().take(HEADING_MAX - 1).chain(['…']).collect()
}

/// Returns a round number of seconds with its unit.
fn span(seconds: f64) -> String {
    let units = [(1.0, "s"), (1e-3, "ms"), (1e-6, "µs")];
    let (unit, name) = units.into_iter().find(|(unit, _)| seconds >= unit * 0.999).unwrap_or((1e-9, "ns"));
    format!("{:.0} {name}", seconds / unit)
}

/// Returns a round number, with k for thousands or M for millions.
fn rate(rate: f64) -> String {
    let units = [(1e6, "M"), (1e3, "k")];
    let (unit, name) = units.into_iter().find(|(unit, _)| rate >= unit * 0.999).unwrap_or((1.0, ""));
    format!("{:.0}{name}", rate / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: u64, milliseconds: Option<[u64; 2]>, holds: bool) -> Point {
        Point { rate, latencies: milliseconds.map(|span| span.map(Duration::from_millis)), holds }
    }

    fn svg(title: &str, points: Vec<Point>, limits: &[(String, Duration)]) -> String {
        Plot { title, points, limits, knee: Some(2000), found: "2000/s holds, 4000/s breaks" }.svg()
    }

    #[test]
    fn every_step_is_drawn_with_its_limit_and_the_knee() {
        let points = || {
            let steps = [(1000, Some([1, 2]), true), (2000, Some([1, 4]), true), (4000, Some([8, 90]), false)];
            steps.map(|(rate, span, holds)| point(rate, span, holds)).into()
        };
        let limits = [("p99<5ms".to_owned(), Duration::from_millis(5))];
        let svg = svg("find sum :1 & p99<5ms", points(), &limits);
        // Beside the steps, each line has a marker in the legend.
        assert_eq!((svg.matches("class=\"holds\"").count(), svg.matches("class=\"breaks\"").count()), (6, 2), "{svg}");
        for text in [
            "find sum :1 &amp; p99&lt;5ms</title>",
            "4000/s breaks: p50 8.0ms, p99 90.0ms.",
            ">p99&lt;5ms</text>",
            ">2000/s</text>",
            "knee: 2000/s holds, 4000/s breaks</text>",
            ">1k</text>",
            ">10 ms</text>",
            "prefers-color-scheme: dark",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        let outside = ["href", "url(", "@import", "<script", "NaN", "inf"];
        assert!(outside.iter().all(|text| !svg.contains(text)), "it needs no other file: {svg}");
    }

    /// Higher is slower, and further right is more: on both axes twice the value is the same distance.
    #[test]
    fn both_axes_are_logarithmic() {
        let axis = Axis { values: [1.0, 16.0], places: [300.0, 100.0] };
        let places = [1.0, 2.0, 4.0, 16.0].map(|value| axis.place(value).round());
        assert_eq!(places, [300.0, 250.0, 200.0, 100.0]);
        assert_eq!(axis.ticks().collect::<Vec<_>>(), [1.0, 2.0, 5.0, 10.0]);
        let long = Axis { values: [0.5, 2000.0], places: [0.0, 1.0] };
        assert_eq!(long.ticks().map(|tick| tick.round()).collect::<Vec<_>>(), [1.0, 10.0, 100.0, 1000.0]);
    }

    #[test]
    fn a_search_without_an_answer_or_a_step_is_drawn_all_the_same() {
        assert!(svg("t", Vec::new(), &[]).contains("no step has ended"));
        let limits = [("p99<5ms".to_owned(), Duration::from_millis(5))];
        let silent = svg("t", vec![point(2000, None, false)], &limits);
        assert!(silent.contains("2000/s breaks: no answer.") && !silent.contains("NaN"), "{silent}");
        assert!(!svg("t", vec![point(2000, Some([1, 1]), true)], &[]).contains("NaN"), "one step has an axis, too");
    }

    #[test]
    fn a_heading_has_an_end_and_the_title_has_all_of_it() {
        let title = "ä".repeat(200);
        let svg = svg(&title, Vec::new(), &[]);
        assert!(svg.contains(&format!("<title id=\"title\">{title}</title>")), "{svg}");
        assert!(svg.contains(&format!(">{}…</text>", "ä".repeat(HEADING_MAX - 1))), "{svg}");
    }

    #[test]
    fn ticks_have_units() {
        assert_eq!([1e-6, 5e-5, 1e-3, 0.2, 1.0, 50.0].map(span), ["1 µs", "50 µs", "1 ms", "200 ms", "1 s", "50 s"]);
        assert_eq!([1.0, 500.0, 1e3, 2e4, 5e6].map(rate), ["1", "500", "1k", "20k", "5M"]);
    }
}
