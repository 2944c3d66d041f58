//! The options of a protocol without their type, which is known only where the protocol is registered.

use std::any::TypeId;
use std::fmt;
use std::marker::PhantomData;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::json::{Findings, member, push_name};
use crate::protocol::{OptionError, Service, Setup, SetupError};

/// The operations of a configuration on the options of a protocol.
#[derive(Clone, Copy)]
pub(crate) struct OptionsType {
    /// The type of the options.
    pub(crate) id: TypeId,
    /// Reads and checks the options. The arguments are the member `options`, if there is one, and the listener.
    pub(crate) read: fn(Option<&Value<'_>>, &Value<'_>, &mut Findings<'_>) -> Option<serde_json::Value>,
    /// Returns the defaults, if they pass the check.
    pub(crate) checked_defaults: fn() -> Result<serde_json::Value, Vec<OptionError>>,
    pub(crate) subschema: fn(&mut SchemaGenerator) -> Schema,
    defaults: fn() -> serde_json::Value,
}

impl OptionsType {
    pub(crate) fn of<S: Service>() -> Self {
        Self {
            id: TypeId::of::<S::Options>(),
            read: read::<S>,
            checked_defaults: || complete::<S>(&S::Options::default()),
            subschema: S::Options::json_schema,
            defaults: || serde_json::to_value(S::Options::default()).unwrap_or_default(),
        }
    }

    /// Returns the type of protocols whose options are checked by their type alone.
    pub(crate) fn of_type<O>() -> Self
    where
        O: Serialize + DeserializeOwned + JsonSchema + Default + 'static,
    {
        Self::of::<Plain<O>>()
    }

    /// Returns all options with their defaults.
    pub(crate) fn defaults(&self) -> serde_json::Value {
        (self.defaults)()
    }

    /// Returns a JSON Schema for the options alone, with all definitions that it refers to.
    pub(crate) fn schema(&self) -> serde_json::Value {
        let mut generator = SchemaGenerator::default();
        let mut schema = (self.subschema)(&mut generator);
        let definitions = generator.take_definitions(true);
        if !definitions.is_empty() {
            schema.insert("$defs".to_owned(), definitions.into());
        }
        schema.to_value()
    }
}

/// A service that represents all protocols that are registered by a function.
struct Plain<O>(PhantomData<fn() -> O>);

impl<O> Service for Plain<O>
where
    O: Serialize + DeserializeOwned + JsonSchema + Default + 'static,
{
    const NAME: &'static str = "";
    const ABOUT: &'static str = "";
    const TRY: &'static str = "";
    type Options = O;

    fn open(_: O, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self(PhantomData))
    }
}

impl fmt::Debug for OptionsType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OptionsType")
    }
}

fn read<S: Service>(
    source: Option<&Value<'_>>,
    listener: &Value<'_>,
    findings: &mut Findings<'_>,
) -> Option<serde_json::Value> {
    let options = match source {
        Some(source) => findings.read(source, true)?,
        None => S::Options::default(),
    };
    complete::<S>(&options)
        .map_err(|errors| {
            for OptionError { path, message } in errors {
                let mut full = findings.path(listener.start());
                push_name(&mut full, "options");
                let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                let offset = source.map_or_else(|| listener.start(), |source| locate(source, &path));
                findings.report_as(offset, format!("{full}{separator}{path}"), message);
            }
        })
        .ok()
}

/// Checks the options, and returns them as JSON with all defaults.
fn complete<S: Service>(options: &S::Options) -> Result<serde_json::Value, Vec<OptionError>> {
    S::check(options)?;
    serde_json::to_value(options).map_err(|error| vec![OptionError::new("", format!("expected JSON: {error}"))])
}

/// Returns the offset of the value at `path`; if the value was left out, the offset of the innermost value around it.
fn locate(options: &Value<'_>, path: &str) -> usize {
    let mut value = options;
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let element = || value.as_array()?.elements.get(step.parse::<usize>().ok()?);
        match member(value, step).or_else(element) {
            Some(inner) => value = inner,
            None => break,
        }
    }
    value.start()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{Config, Transport};
    use crate::protocol::{Admission, Peer, Setup, SetupError, StreamService};
    use crate::registry::Registry;

    /// A plug-in with every kind of option.
    struct Stranger;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct StrangeOptions {
        numbers: Vec<u16>,
        offset: i64,
        ratio: f64,
        loud: bool,
        nested: Nested,
        perhaps: Option<Mode>,
        pair: (u8, u8),
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Nested {
        depth: u8,
        #[serde(alias = "w")]
        width: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Mode {
        Fast,
        Slow(u8),
    }

    impl Service for Stranger {
        const NAME: &'static str = "stranger";
        const ABOUT: &'static str = "Tests options.";
        const TRY: &'static str = "true";
        type Options = StrangeOptions;

        fn check(options: &StrangeOptions) -> Result<(), Vec<OptionError>> {
            let large = options.numbers.iter().enumerate().filter(|(_, number)| **number > 1000);
            let errors: Vec<_> = large
                .map(|(index, _)| OptionError::new(format!("numbers[{index}]"), "expected at most 1000"))
                .collect();
            if errors.is_empty() { Ok(()) } else { Err(errors) }
        }

        fn open(_: StrangeOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
            Ok(Self)
        }
    }

    impl StreamService for Stranger {
        fn connect(&self, _: &Peer) -> Admission {
            unreachable!("nothing connects here")
        }
    }

    fn registry() -> Registry {
        let mut registry = Registry::built_in();
        registry.stream::<Stranger>();
        registry
    }

    fn parse(text: &str) -> Config {
        Config::parse("r.json", text, &registry()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn options_are_reported_with_their_whole_path() {
        let stranger = |options: &str| {
            let text =
                format!(r#"{{"listeners": [{{"listen": "tcp://:1", "protocol": "stranger", "options": {options}}}]}}"#);
            let problems = Config::parse("r.json", &text, &registry()).expect_err(&text);
            problems.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect::<Vec<_>>()
        };
        assert_eq!(
            stranger(
                r#"{"numbers": [1, "2", 70000, 5], "offset": 1.5, "ratio": "x", "loud": 1, "nested": {"depth": 300}, "perhaps": "fsat", "lod": 1}"#
            ),
            [
                "listeners[0].options.numbers[1]: expected a whole number from 0 to 65535, found \"2\"",
                "listeners[0].options.numbers[2]: expected a whole number from 0 to 65535, found 70000",
                "listeners[0].options.offset: expected a whole number, found 1.5",
                "listeners[0].options.ratio: expected a number, found \"x\"",
                "listeners[0].options.loud: expected true or false, found 1",
                "listeners[0].options.nested.depth: expected a whole number from 0 to 255, found 300",
                "listeners[0].options.perhaps: expected \"fast\" or \"slow\", found \"fsat\"",
                "listeners[0].options: unknown member \"lod\"; did you mean \"loud\"?",
            ]
        );
        assert_eq!(
            stranger(r#"{"nested": {"depth": 1, "width": 2, "w": 3}, "perhaps": 5}"#),
            [
                "listeners[0].options.nested: member \"width\" given twice",
                "listeners[0].options.perhaps: expected \"fast\" or \"slow\", found 5",
            ]
        );
        assert_eq!(
            stranger(r#"{"perhaps": {"slow": 300}, "pair": [1, -1]}"#),
            [
                "listeners[0].options.perhaps.slow: expected a whole number from 0 to 255, found 300",
                "listeners[0].options.pair[1]: expected a whole number from 0 to 255, found -1",
            ]
        );
        assert_eq!(
            stranger(r#"{"perhaps": {"slwo": 3}, "pair": [1]}"#),
            [
                "listeners[0].options.perhaps: expected \"fast\" or \"slow\", found \"slwo\"",
                "listeners[0].options.pair: expected a tuple of size 2, found 1 elements",
            ]
        );
        assert_eq!(stranger(r#"{"nested": {"depth": 1}}"#), ["listeners[0].options.nested: missing member \"width\""]);
        assert_eq!(
            stranger(r#"{"numbers": [1, 2000, 3, 4000]}"#),
            [
                "listeners[0].options.numbers[1]: expected at most 1000",
                "listeners[0].options.numbers[3]: expected at most 1000",
            ]
        );
    }

    #[test]
    fn options_come_out_complete_and_null_is_absence_there() {
        let config = parse(
            r#"{"listeners": [{"listen": "tcp://:1", "protocol": "stranger",
            "options": {"perhaps": {"slow": 3}, "offset": -9223372036854775808, "ratio": 2}},
            {"listen": "tcp://:2", "protocol": "stranger", "options": {"perhaps": null}}]}"#,
        );
        assert_eq!(
            config.listeners[0].options,
            json!({"numbers": [], "offset": i64::MIN, "ratio": 2.0, "loud": false, "nested": {"depth": 0, "width": 0},
               "perhaps": {"slow": 3}, "pair": [0, 0]})
        );
        assert_eq!(config.listeners[1].options["perhaps"], Value::Null);
        assert_eq!(parse(&config.to_json()), config);
    }

    #[test]
    fn a_protocol_over_both_transports_has_one_type_of_options() {
        struct Other;
        impl Service for Other {
            const NAME: &'static str = "sum";
            const ABOUT: &'static str = "Has other options.";
            const TRY: &'static str = "true";
            type Options = StrangeOptions;

            fn open(_: StrangeOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
                Ok(Self)
            }
        }
        impl StreamService for Other {
            fn connect(&self, _: &Peer) -> Admission {
                unreachable!("nothing connects here")
            }
        }
        let mut registry = Registry::built_in();
        registry.stream::<Other>();
        let sum = registry.find("sum").unwrap();
        assert_eq!((sum.about, sum.transports().collect::<Vec<_>>()), ("Has other options.", vec![Transport::Tcp]));
    }
}
