//! A miss, with all that helps to find its cause, as text and as JSON.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use crate::cause::{self, Cause};
use crate::demand::Demand;
use crate::miss::Miss;

pub(crate) struct Report {
    demand: &'static Demand,
    miss: Miss,
    /// How the server has ended, if it has.
    death: Option<String>,
    cause: Cause,
    /// The demand at which this cause was named already.
    named_at: Option<&'static str>,
}

/// The causes that were named, and the demand of each.
pub(crate) type Causes = Vec<(&'static str, &'static str)>;

impl Report {
    pub(crate) fn new(demand: &'static Demand, miss: Miss, death: Option<String>) -> Self {
        let cause = cause::of(demand, &miss, death.as_deref());
        Self { demand, miss, death, cause, named_at: None }
    }

    /// Refers to the demand at which the cause was named, if it was.
    pub(crate) fn after(mut self, causes: &mut Causes) -> Self {
        self.named_at = causes.iter().find(|(text, _)| *text == self.cause.text).map(|(_, demand)| *demand);
        // The rule of a protocol that a demand is about is another one for each demand.
        if self.named_at.is_none() && self.cause.text != cause::RULE.text {
            causes.push((self.cause.text, self.demand.name));
        }
        self
    }

    pub(crate) fn death(&self) -> Option<&str> {
        self.death.as_deref()
    }

    pub(crate) fn json(&self) -> Value {
        let Miss { when, sent, got, expected } = &self.miss;
        json!({
            "demand": self.demand.name,
            "text": self.demand.text,
            "when": when,
            "sent": sent,
            "got": got,
            "expected": expected,
            "server": self.death,
            "cause": self.cause.text,
            "read": self.cause.read,
        })
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "MISSED  {:<14}{}\n{}", self.demand.name, self.demand.text, self.miss)?;
        if let Some(death) = &self.death {
            writeln!(f, "          server    {death}")?;
        }
        if let Some(demand) = self.named_at {
            return write!(f, "          cause     probably the same as for {demand}");
        }
        writeln!(f, "          cause     probably: {}", self.cause.text)?;
        write!(f, "          read      {}", self.cause.read)
    }
}
