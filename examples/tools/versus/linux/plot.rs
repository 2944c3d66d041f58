//! Lines with whiskers over a logarithmic x axis, as SVG.
//!
//! It reads on light and dark screens: text and axes have `currentColor`, which the style sets for either. It reads for
//! the colour-blind: the colours are those of Okabe and Ito (<https://jfly.uni-koeln.de/color/>), and each line has its
//! own dashes and marker. For screen readers, `<desc>` lists all medians.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 72.0;
const BOTTOM: f64 = HEIGHT - 56.0;
/// Between the first point on the x axis and the y axis, and between the last and the end.
const INSET: f64 = 24.0;
/// The distance between lines, so that no whisker hides another.
const APART: f64 = 5.0;
const LEGEND_ENTRY: f64 = 190.0;
const Y_STEPS_MAX: f64 = 8.0;

const STYLE: &str = "
svg { color: #1f2328; font: 13px system-ui, sans-serif }
.ground { fill: #ffffff }
.line0 { color: #0072b2 }
.line1 { color: #009e73 }
.line2 { color: #d55e00 }
@media (prefers-color-scheme: dark) {
  svg { color: #e6edf3 }
  .ground { fill: #0d1117 }
  .line0 { color: #56b4e9 }
}
.heading { font-size: 14px; font-weight: 600 }
text { fill: currentColor }
.line { fill: none; stroke: currentColor; stroke-width: 2 }
.axis { fill: none; stroke: currentColor }
.grid { stroke: currentColor; stroke-opacity: 0.15 }
.marker { fill: currentColor }
";
const DASHES: [&str; 3] = ["8 4", "2 4", "none"];

/// Three lines at most, as there are styles for, each with a point at every tick of the x axis.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    /// In rising order; the axis goes from the first to the last.
    pub(crate) x_ticks: Vec<(f64, &'a str)>,
    pub(crate) y_scale: Scale,
    pub(crate) lines: Vec<Line<'a>>,
}

#[derive(PartialEq)]
pub(crate) enum Scale {
    /// From zero.
    Linear,
    Logarithmic,
}

pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<Point>,
}

/// The whisker goes from the lowest to the highest. All are above zero.
pub(crate) struct Point {
    pub(crate) lowest: f64,
    pub(crate) median: f64,
    pub(crate) highest: f64,
}

impl Plot<'_> {
    pub(crate) fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             role=\"img\" aria-labelledby=\"title desc\">\n\
             <title id=\"title\">{}</title>\n<desc id=\"desc\">{}</desc>\n<style>{STYLE}</style>\n\
             <rect class=\"ground\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
             <text class=\"heading\" x=\"{LEFT}\" y=\"24\">{}</text>\n",
            self.title,
            self.description(),
            self.title
        );
        let y_ticks = self.y_ticks();
        self.axes(&mut svg, &y_ticks);
        self.lines.iter().enumerate().for_each(|(index, line)| self.line(&mut svg, &y_ticks, index, line));
        svg.push_str("</svg>\n");
        svg
    }

    fn description(&self) -> String {
        let mut text = format!("{}, by {}; whiskers from the lowest to the highest round.", self.y_label, self.x_label);
        for line in &self.lines {
            let ticks = self.x_ticks.iter().zip(&line.points);
            let values: Vec<_> = ticks.map(|((_, x), point)| format!("{:.2} at {x}", point.median)).collect();
            // Writing to a string cannot fail.
            let _ = write!(text, " {}: {}.", line.name, values.join(", "));
        }
        text
    }

    /// Round numbers, from below all points to above them.
    fn y_ticks(&self) -> Vec<f64> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let lowest = points().map(|point| point.lowest).fold(f64::INFINITY, f64::min);
        let highest = points().map(|point| point.highest).fold(0.0, f64::max);
        let mut round = (-2..9).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)));
        match self.y_scale {
            Scale::Linear => {
                let step = round.find(|step| highest / step <= Y_STEPS_MAX).unwrap_or(highest);
                (0..=(highest / step).ceil() as u32).map(|count| f64::from(count) * step).collect()
            }
            Scale::Logarithmic => {
                let mut ticks: Vec<_> = round.collect();
                let first = ticks.partition_point(|tick| *tick <= lowest).saturating_sub(1);
                ticks.truncate(ticks.partition_point(|tick| *tick < highest) + 1);
                ticks.split_off(first)
            }
        }
    }

    fn axes(&self, svg: &mut String, y_ticks: &[f64]) {
        let (across, upwards, beside) = ((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0, LEFT - 8.0);
        let (label, end, below) = (HEIGHT - 12.0, BOTTOM + 5.0, BOTTOM + 20.0);
        for tick in y_ticks {
            let y = self.y(y_ticks, *tick);
            // In single precision three times 0.1 reads 0.3.
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\
                 <text x=\"{beside}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                y + 4.0,
                *tick as f32
            );
        }
        for (tick, name) in &self.x_ticks {
            let x = self.x(*tick);
            let _ = writeln!(
                svg,
                "<path class=\"axis\" d=\"M{x:.1} {BOTTOM}V{end}\"/>\
                 <text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{name}</text>"
            );
        }
        let _ = writeln!(
            svg,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n\
             <text x=\"{across}\" y=\"{label}\" text-anchor=\"middle\">{}</text>\n\
             <text transform=\"translate(18 {upwards}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            self.x_label, self.y_label
        );
    }

    /// A line with its whiskers, its markers and its entry in the legend.
    fn line(&self, svg: &mut String, y_ticks: &[f64], index: usize, line: &Line) {
        let aside = (index as f64 - (self.lines.len() - 1) as f64 / 2.0) * APART;
        let (legend, middle) = (LEFT + LEGEND_ENTRY * index as f64, 48.0);
        let (mut course, mut whiskers, mut markers) = (Vec::new(), String::new(), marker(index, legend + 20.0, middle));
        for ((tick, _), point) in self.x_ticks.iter().zip(&line.points) {
            let x = self.x(*tick) + aside;
            let y = |value| self.y(y_ticks, value);
            let (lowest, median, highest) = (y(point.lowest), y(point.median), y(point.highest));
            course.push(format!("{x:.1} {median:.1}"));
            let _ = write!(whiskers, "M{x:.1} {lowest:.1}V{highest:.1}m-3 0h6M{x:.1} {lowest:.1}m-3 0h6");
            markers.push_str(&marker(index, x, median));
        }
        let _ = writeln!(
            svg,
            "<g class=\"line{index}\">\
             <path class=\"line\" stroke-dasharray=\"{}\" d=\"M{legend} {middle}h40M{}\"/>\
             <path class=\"axis\" d=\"{whiskers}\"/>{markers}</g>\n\
             <text x=\"{}\" y=\"{}\">{}</text>",
            DASHES[index],
            course.join("L"),
            legend + 46.0,
            middle + 4.0,
            line.name
        );
    }

    fn x(&self, value: f64) -> f64 {
        let [first, last] = [0, self.x_ticks.len() - 1].map(|index| self.x_ticks[index].0.ln());
        LEFT + INSET + (value.ln() - first) / (last - first) * (RIGHT - LEFT - 2.0 * INSET)
    }

    fn y(&self, ticks: &[f64], value: f64) -> f64 {
        let scaled = |value: f64| if self.y_scale == Scale::Logarithmic { value.ln() } else { value };
        let [first, last] = [0, ticks.len() - 1].map(|index| scaled(ticks[index]));
        BOTTOM - (scaled(value) - first) / (last - first) * (BOTTOM - TOP)
    }
}

/// A square, a triangle or a circle.
fn marker(index: usize, x: f64, y: f64) -> String {
    match index {
        0 => format!("<path class=\"marker\" d=\"M{:.1} {:.1}h8v8h-8z\"/>", x - 4.0, y - 4.0),
        1 => format!("<path class=\"marker\" d=\"M{x:.1} {:.1}l5 9h-10z\"/>", y - 5.5),
        _ => format!("<circle class=\"marker\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>"),
    }
}
