//! serde over a [`Document`](super::document::Document): each error has a place, what was expected and what was found.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use jsonc_parser::ast::{ObjectProp, Value};
use jsonc_parser::common::Ranged;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, Deserializer, Unexpected, Visitor};

use super::quoted::quoted;
use super::suggestion::nearest;

/// Reads one value, without the parts that start at an offset in `bad`.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) value: &'a Value<'a>,
    pub(super) bad: &'a BTreeSet<usize>,
    /// Whether `null` means that an optional value is absent, as usual in serde.
    pub(super) null_is_absent: bool,
}

/// Why a value cannot be read.
#[derive(Debug)]
pub(super) struct Error {
    /// Where the wrong part starts. An error is made without, and the caller that knows the place adds it.
    pub(super) offset: Option<usize>,
    pub(super) cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// This member of an object is missing.
    Missing(&'static str),
    /// An object has this member under two names.
    Twice(&'static str),
    /// A part without which the value cannot be read is wrong and has been reported.
    Reported,
    Other(String),
}

impl Error {
    fn at(mut self, offset: usize) -> Self {
        self.offset.get_or_insert(offset);
        self
    }

    fn other(message: String) -> Self {
        Self { offset: None, cause: Cause::Other(message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Missing(name) => write!(f, "missing member {}", quoted(name)),
            Cause::Twice(name) => write!(f, "member {} given twice", quoted(name)),
            Cause::Reported => f.write_str("wrong"),
            Cause::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::other(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::other(format!("expected {}, found {}", plain(&expected.to_string()), describe(found)))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::other(format!("expected {}, found {length} elements", plain(&expected.to_string())))
    }

    fn unknown_variant(found: &str, expected: &'static [&'static str]) -> Self {
        Self::other(format!("expected {}, found {}", alternatives(expected), quoted(found)))
    }

    fn unknown_field(name: &str, expected: &'static [&'static str]) -> Self {
        let advice = match nearest(name, expected.iter().copied()) {
            Some(known) => format!("did you mean {}?", quoted(known)),
            None if expected.is_empty() => "no members are allowed here".to_owned(),
            None => format!("expected {}", alternatives(expected)),
        };
        Self::other(format!("unknown member {}; {advice}", quoted(name)))
    }

    fn missing_field(name: &'static str) -> Self {
        Self { offset: None, cause: Cause::Missing(name) }
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self { offset: None, cause: Cause::Twice(name) }
    }
}

/// `"a", "b" or "c"`
pub(crate) fn alternatives(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| quoted(name)).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Translates serde's name of a type for an administrator who writes JSON.
fn plain(expected: &str) -> Cow<'_, str> {
    match expected {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" => "a whole number from 0 to 4294967295".into(),
        "u64" | "u128" | "usize" => "a whole number that is not negative".into(),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "unit" => "null".into(),
        "a sequence" => "an array".into(),
        "a map" => "an object".into(),
        _ if expected.starts_with("struct ") => "an object".into(),
        _ if expected.starts_with("a nonzero ") => "a whole number other than 0".into(),
        _ => expected.into(),
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(value) => value.to_string(),
        Unexpected::Signed(value) => value.to_string(),
        Unexpected::Float(value) => format!("{value:?}"),
        Unexpected::Str(value) => quoted(value),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// Describes a value in a few words.
pub(crate) fn describe_value(value: &Value<'_>) -> String {
    match value {
        Value::NullKeyword(_) => "null".to_owned(),
        Value::BooleanLit(literal) => literal.value.to_string(),
        Value::NumberLit(literal) => literal.value.to_owned(),
        Value::StringLit(literal) => quoted(&literal.value),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

impl<'a> Reader<'a> {
    fn of(self, value: &'a Value<'a>) -> Self {
        Self { value, ..self }
    }

    fn is_bad(self, member: &ObjectProp<'_>) -> bool {
        self.bad.contains(&member.name.start()) || self.bad.contains(&member.value.start())
    }

    /// Returns an error unless all parts of the value can be read.
    fn complete(self) -> Result<Self, Error> {
        let is_incomplete = match self.value {
            Value::Array(array) => array.elements.iter().any(|element| self.bad.contains(&element.start())),
            Value::Object(object) => object.properties.iter().any(|member| self.is_bad(member)),
            _ => false,
        };
        if is_incomplete { Err(Error { offset: Some(self.value.start()), cause: Cause::Reported }) } else { Ok(self) }
    }

    fn read<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::NullKeyword(_) => visitor.visit_unit(),
            Value::BooleanLit(literal) => visitor.visit_bool(literal.value),
            Value::NumberLit(literal) => visit_number(literal.value, visitor),
            Value::StringLit(literal) => visitor.visit_str(&literal.value),
            Value::Array(array) => visitor.visit_seq(Elements { rest: array.elements.iter(), reader: self }),
            Value::Object(object) => {
                let mut members = Members { rest: object.properties.iter(), current: None, reader: self };
                visitor.visit_map(&mut members).map_err(|error| match (&error.cause, members.current) {
                    (Cause::Twice(_), Some(member)) => error.at(member.name.start()),
                    _ => error,
                })
            }
        }
    }
}

/// Visits an integer if the number is one and fits into 64 bits, otherwise a float.
fn visit_number<'de, V: Visitor<'de>>(text: &str, visitor: V) -> Result<V::Value, Error> {
    if let Ok(number) = text.parse() {
        visitor.visit_u64(number)
    } else if let Ok(number) = text.parse() {
        visitor.visit_i64(number)
    } else if let Ok(number) = text.parse() {
        visitor.visit_f64(number)
    } else {
        Err(Error::other(format!("expected a number, found {}", quoted(text))))
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.read(visitor).map_err(|error| error.at(self.value.start()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.null_is_absent && self.value.as_null_keyword().is_some() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    /// Accepts an object only: derived code would also take an array, with the members in order.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.value {
            Value::Object(_) => self.deserialize_any(visitor),
            other => {
                Err(Error::other(format!("expected an object, found {}", describe_value(other))).at(other.start()))
            }
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.complete()?.deserialize_any(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.complete()?.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let read = match self.complete()?.value {
            Value::StringLit(literal) => visitor.visit_enum(StrDeserializer::new(&literal.value)),
            Value::Object(object) => visitor.visit_enum(MapAccessDeserializer::new(Members {
                rest: object.properties.iter(),
                current: None,
                reader: self,
            })),
            other => Err(Error::other(format!("expected {}, found {}", alternatives(variants), describe_value(other)))),
        };
        read.map_err(|error| error.at(self.value.start()))
    }

    /// Does not read the value.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq map
        identifier
    }
}

struct Elements<'a> {
    rest: std::slice::Iter<'a, Value<'a>>,
    reader: Reader<'a>,
}

impl<'de> de::SeqAccess<'de> for Elements<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match self.rest.find(|element| !self.reader.bad.contains(&element.start())) {
            Some(element) => seed.deserialize(self.reader.of(element)).map(Some),
            None => Ok(None),
        }
    }
}

struct Members<'a> {
    rest: std::slice::Iter<'a, ObjectProp<'a>>,
    current: Option<&'a ObjectProp<'a>>,
    reader: Reader<'a>,
}

impl<'de> de::MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let reader = self.reader;
        self.current = self.rest.find(|member| !reader.is_bad(member));
        match self.current {
            Some(member) => seed
                .deserialize(StrDeserializer::new(member.name.as_str()))
                .map(Some)
                .map_err(|error: Error| error.at(member.name.start())),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.current {
            Some(member) => seed.deserialize(self.reader.of(&member.value)),
            None => Err(de::Error::custom("a value without a name")),
        }
    }
}
