use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use crate::options::{CONNECTIONS_MAX, count};
use crate::ramp::parts;

/// A number of connections that grows evenly from the start on, and then stays.
#[derive(Clone)]
pub(crate) struct Growth {
    text: String,
    from: u32,
    pub(crate) to: u32,
    span: Duration,
}

impl FromStr for Growth {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (from, to, span) = parts(text).ok_or("expected connections and a span above zero such as 10..1000/30s")?;
        let [from, to] = [from, to].map(|number| count(number).and_then(|count| u32::try_from(count).ok()));
        let (Some(from), Some(to @ 1..=CONNECTIONS_MAX)) = (from, to) else {
            return Err(format!("expected numbers of connections such as 10..1000, at most {CONNECTIONS_MAX}"));
        };
        if from >= to {
            return Err("expected more connections at the end than at the start".into());
        }
        Ok(Self { text: text.into(), from, to, span })
    }
}

impl Display for Growth {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Growth {
    /// Returns how long after the start a connection is opened, counted from 0. The last one is opened at the end of the span.
    pub(crate) fn time(&self, connection: usize) -> Duration {
        let place = (connection as u32 + 1).saturating_sub(self.from);
        self.span.mul_f64(f64::from(place) / f64::from(self.to - self.from))
    }

    /// Returns how many connections have been opened after a time.
    pub(crate) fn count(&self, after: Duration) -> u32 {
        let part = (after.as_secs_f64() / self.span.as_secs_f64()).min(1.0);
        self.from + (f64::from(self.to - self.from) * part) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_opened_evenly_over_the_span() {
        let growth: Growth = "2..6/2s".parse().unwrap_or_else(|error| panic!("{error}"));
        let times: Vec<_> = (0..6).map(|connection| growth.time(connection).as_millis()).collect();
        assert_eq!(times, [0, 0, 500, 1000, 1500, 2000]);
        let counts = [0, 499, 500, 1999, 2000, 9000].map(|time| growth.count(Duration::from_millis(time)));
        assert_eq!(counts, [2, 2, 3, 5, 6, 6]);
        let from_none: Growth = "0..4/1s".parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(from_none.time(0), Duration::from_millis(250));
    }

    #[test]
    fn a_growth_needs_two_numbers_that_rise_and_a_span() {
        for text in
            ["", "5", "10..20", "20..10/1s", "10..10/1s", "0..0/1s", "1..200k/1s", "1..2/0s", "..5/1s", "1..x/1s"]
        {
            assert!(text.parse::<Growth>().is_err(), "{text}");
        }
    }
}
