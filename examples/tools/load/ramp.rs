use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::client::span::span;
use crate::options::rate;

/// A rate that changes evenly from the start on, and then stays.
#[derive(Clone)]
pub(crate) struct Ramp {
    text: String,
    from: u64,
    pub(crate) to: u64,
    span: Duration,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to, span) = parts(text).ok_or("expected rates and a span above zero such as 0..10k/30s")?;
        let to = rate(to)?;
        let from = if from == "0" { 0 } else { rate(from)? };
        Ok(Self { text: text.into(), from, to, span })
    }
}

/// Cuts `FROM..TO/SPAN` into its parts.
pub(crate) fn parts(text: &str) -> Option<(&str, &str, Duration)> {
    let (numbers, time) = text.split_once('/')?;
    let (from, to) = numbers.split_once("..")?;
    let span = span(time).ok().filter(|span| !span.is_zero())?;
    Some((from, to, span))
}

impl Display for Ramp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ramp {
    /// Returns after how many seconds this number of requests have been due: the inverse of [`Ramp::count`].
    pub(crate) fn time(&self, count: f64) -> f64 {
        let (from, to, span) = self.numbers();
        let whole = self.count(span);
        if count > whole {
            return span + (count - whole) / to;
        }
        let slope = (to - from) / span;
        // The root of slope / 2 * t^2 + from * t = count, in the form that neither cancels nor divides by the slope.
        let root = (from * from + 2.0 * slope * count).max(0.0).sqrt();
        if count > 0.0 { 2.0 * count / (from + root) } else { 0.0 }
    }

    /// Returns how many requests are due within this number of seconds.
    pub(crate) fn count(&self, seconds: f64) -> f64 {
        let (from, to, span) = self.numbers();
        let rising = seconds.min(span);
        let later = (seconds - span).max(0.0);
        (from + (to - from) / span * rising / 2.0) * rising + to * later
    }

    fn numbers(&self) -> (f64, f64, f64) {
        (self.from as f64, self.to as f64, self.span.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(text: &str) -> Ramp {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_ramp_has_the_area_under_its_line_and_then_its_last_rate() {
        let rise = ramp("0..1k/2s");
        for (seconds, count) in [(0.0, 0.0), (1.0, 250.0), (2.0, 1000.0), (3.0, 2000.0)] {
            assert!((rise.count(seconds) - count).abs() < 1e-6, "{seconds}");
        }
        assert!((ramp("1k..500/2s").count(2.0) - 1500.0).abs() < 1e-6);
    }

    #[test]
    fn the_time_of_a_request_is_the_inverse_of_its_number() {
        for text in ["0..10k/30s", "10k..1/30s", "500..500/1s", "1..100M/1ms"] {
            let ramp = ramp(text);
            let mut before = 0.0;
            for count in (0..2000).map(|step| f64::from(step) * 100.0) {
                let time = ramp.time(count);
                assert!(time >= before, "{text} {count}");
                assert!((ramp.count(time) - count).abs() <= 1e-6 * (1.0 + count), "{text} {count}: {time}");
                before = time;
            }
        }
    }

    #[test]
    fn a_ramp_needs_two_rates_and_a_span() {
        for text in ["", "5", "0..10k", "10k/5s", "0..0/5s", "0..10k/0s", "x..5/1s", "0..5/1", "200M..5/1s", "..5/1s"] {
            assert!(text.parse::<Ramp>().is_err(), "{text}");
        }
    }
}
