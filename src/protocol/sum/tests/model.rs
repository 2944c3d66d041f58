//! The model: answers to a value by serde_json and `format!`, slow and simple. Tests compare the protocol with it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::super::request::{Fault, Request};

/// Reads `text`, one complete JSON value.
pub(in super::super) fn parse(text: &[u8]) -> Result<Request, Fault> {
    match serde_json::from_slice(text) {
        Ok(Members(request)) => request,
        Err(_) => Err("not an object"),
    }
}

/// Returns the answer to `text`, one complete JSON value.
pub(in super::super) fn answer(text: &[u8]) -> String {
    match parse(text).map(|Request { a, b }| a.checked_add(b).ok_or("sum overflows")) {
        Ok(Ok(sum)) => format!("{{\"Sum\":{sum}}}\n"),
        Ok(Err(fault)) | Err(fault) => format!("{{\"Error\":\"{fault}\"}}\n"),
    }
}

/// The request in the members of an object, or what is wrong with them.
struct Members(Result<Request, Fault>);

#[derive(serde::Deserialize)]
#[serde(field_identifier)]
enum Name {
    #[serde(rename = "A", alias = "a")]
    A,
    #[serde(rename = "B", alias = "b")]
    B,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut members: M) -> Result<Members, M::Error> {
        let (mut a, mut b, mut fault) = (None, None, None);
        while let Some(name) = members.next_key()? {
            let (operand, twice, not_integer) = match name {
                Name::A => (&mut a, "A is given twice", "A is not an integer of 64 bits"),
                Name::B => (&mut b, "B is given twice", "B is not an integer of 64 bits"),
                Name::Other => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let text = members.next_value::<&RawValue>()?.get();
            if operand.is_some() {
                fault.get_or_insert(twice);
            }
            // As text, because `-0` is an integer here and `1.0` is not, and a number that is too large is not a syntax error.
            *operand = text.parse().ok();
            if operand.is_none() {
                fault.get_or_insert(not_integer);
            }
        }
        Ok(Members(match (fault, a, b) {
            (Some(fault), ..) => Err(fault),
            (None, None, _) => Err("A is missing"),
            (None, _, None) => Err("B is missing"),
            (None, Some(a), Some(b)) => Ok(Request { a, b }),
        }))
    }
}
