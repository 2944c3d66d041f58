use std::fmt::{self, Display, Formatter, Write};
use std::str::FromStr;
use std::time::Duration;

use crate::client::span::span;
use crate::options::count;
use crate::tally::{Kind, Tally};

/// A condition of `--assert`, such as `p99<5ms`.
#[derive(Clone)]
pub(crate) struct Condition {
    text: String,
    quantity: Quantity,
    comparison: Comparison,
    limit: Limit,
}

#[derive(Clone, Copy)]
enum Quantity {
    /// The latency that this part of the requests does not exceed.
    Latency(f64),
    Rate,
    Requests,
    Lines,
    Missed,
    Errors,
    ErrorsOf(Kind),
}

#[derive(Clone, Copy)]
enum Comparison {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
}

#[derive(Clone, Copy)]
enum Limit {
    Span(Duration),
    Count(u64),
}

/// Longer operators first: the shorter ones are their prefixes.
const COMPARISONS: [(&str, Comparison); 5] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("=", Comparison::Equal),
];

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = COMPARISONS.iter().find_map(|&(sign, comparison)| {
            text.split_once(sign).map(|(name, limit)| (name.trim(), comparison, limit.trim()))
        });
        let (name, comparison, limit) =
            parts.ok_or_else(|| format!("expected a condition such as p99<5ms, of: {}", names()))?;
        let quantity =
            Quantity::named(name).ok_or_else(|| format!("{name:?} is not measured; use one of: {}", names()))?;
        let limit = match quantity {
            Quantity::Latency(_) => Limit::Span(span(limit)?),
            _ => Limit::Count(count(limit).ok_or("expected a number such as 0 or 20k")?),
        };
        Ok(Self { text: text.trim().into(), quantity, comparison, limit })
    }
}

/// The quantities besides the kinds of errors, with name and meaning.
const QUANTITIES: [(&str, Quantity, &str); 10] = [
    ("p50", Quantity::Latency(0.5), "the latency that half of the requests do not exceed"),
    ("p90", Quantity::Latency(0.9), "the latency that 90 % of the requests do not exceed"),
    ("p99", Quantity::Latency(0.99), "99 %"),
    ("p999", Quantity::Latency(0.999), "99.9 %"),
    ("max", Quantity::Latency(1.0), "the longest latency"),
    ("rate", Quantity::Rate, "right answers a second; of chat, lines that came to a member"),
    ("requests", Quantity::Requests, "right answers, or lines that came"),
    ("lines", Quantity::Lines, "lines that members of a chat have said"),
    ("missed", Quantity::Missed, "lines that members have missed, as the server said"),
    ("errors", Quantity::Errors, "errors of all kinds together"),
];

impl Quantity {
    fn named(name: &str) -> Option<Self> {
        let quantity = QUANTITIES.iter().find(|(known, ..)| *known == name).map(|&(_, quantity, _)| quantity);
        let kind = || Kind::ALL.iter().find(|(_, known, _)| *known == name).map(|&(kind, ..)| Self::ErrorsOf(kind));
        quantity.or_else(kind)
    }
}

/// The names of all quantities, and their meanings.
fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
    let quantities = QUANTITIES.iter().map(|&(name, _, meaning)| (name, meaning));
    quantities.chain(Kind::ALL.iter().map(|&(_, name, meaning)| (name, meaning)))
}

fn names() -> String {
    known().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// What `--help` says about `--assert`.
pub(crate) fn help() -> String {
    let mut help =
        "Fail unless all these conditions hold, such as 'p99<5ms,errors=0,rate>=20k'\n\nA condition is a name, one of \
                    <, <=, =, >=, >, and a value. The names:"
            .to_owned();
    for (name, meaning) in known() {
        // Writing to a string cannot fail.
        let _ = write!(help, "\n  {name:<10}{meaning}");
    }
    help
}

impl Condition {
    /// Returns the reason if the condition does not hold.
    pub(crate) fn failure(&self, tally: &Tally, rate: f64) -> Option<String> {
        let (holds, actual) = match (self.quantity, self.limit) {
            (Quantity::Latency(_), _) if tally.requests() == 0 => {
                (false, "unknown, since no request was answered".into())
            }
            (Quantity::Latency(part), Limit::Span(limit)) => {
                let latency = Duration::from_nanos(tally.latencies.value_at_quantile(part));
                (self.comparison.holds(&latency, &limit), format!("{latency:.1?}"))
            }
            (quantity, Limit::Count(limit)) => {
                let actual = match quantity {
                    Quantity::Rate => rate,
                    Quantity::Errors => tally.errors() as f64,
                    Quantity::ErrorsOf(kind) => tally.outcomes().errors_of(kind) as f64,
                    Quantity::Lines => tally.lines as f64,
                    Quantity::Missed => tally.missed as f64,
                    Quantity::Requests | Quantity::Latency(_) => tally.requests() as f64,
                };
                (self.comparison.holds(&actual, &(limit as f64)), format!("{actual:.0}"))
            }
            (_, Limit::Span(_)) => (false, "not a latency".into()),
        };
        (!holds).then(|| format!("{} does not hold: it is {actual}", self.text))
    }
}

impl Condition {
    /// Returns the latency that a condition compares with, if it is one of a latency.
    pub(crate) fn latency(&self) -> Option<Duration> {
        match self.limit {
            Limit::Span(limit) => Some(limit),
            Limit::Count(_) => None,
        }
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Comparison {
    fn holds<T: PartialOrd>(self, actual: &T, limit: &T) -> bool {
        match self {
            Self::Below => actual < limit,
            Self::AtMost => actual <= limit,
            Self::Equal => actual == limit,
            Self::AtLeast => actual >= limit,
            Self::Above => actual > limit,
        }
    }
}
