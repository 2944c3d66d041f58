//! The configuration for an administrator who looks at a running server: all defaults, and no secret.

use serde_json::{Value, json};

use super::Config;
use crate::registry::Registry;

impl Config {
    /// Returns the configuration as [`Config::to_json`] does, with `null` in place of each option that is a secret: one whose
    /// schema says `"writeOnly": true` (JSON Schema Validation, 9.4).
    pub(crate) fn without_secrets(&self, registry: &Registry) -> String {
        let mut shown = self.clone();
        for listener in &mut shown.listeners {
            let schema = registry.find(&listener.protocol).map(|protocol| protocol.options_schema());
            let known = schema.as_ref().and_then(|schema| schema["properties"].as_object());
            for (name, value) in listener.options.as_object_mut().into_iter().flatten() {
                if known.is_some_and(|known| known.get(name).is_some_and(|option| option["writeOnly"] == json!(true))) {
                    *value = Value::Null;
                }
            }
        }
        shown.to_json()
    }
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::protocol::{Acceptor, Reply, Step, StreamProtocol};

    #[derive(Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct Door {
        #[schemars(extend("writeOnly" = true))]
        password: String,
        motto: String,
    }

    struct Silent;

    impl StreamProtocol for Silent {
        fn on_bytes(&mut self, input: &[u8], _: &mut crate::protocol::Context<'_>) -> Reply {
            Ok(Step::again(input.len()))
        }
    }

    #[test]
    fn an_option_that_is_only_written_is_not_shown() {
        let mut registry = Registry::built_in();
        registry.stream_with("door", "Has a password.", "true", |_: Door, _| Ok(Acceptor::new(|_| Silent)));
        let text = r#"{ "listeners": [{ "listen": "tcp://127.0.0.1:1", "protocol": "door",
            "options": { "password": "open sesame", "motto": "hello" } }] }"#;
        let config = Config::parse("test", text, &registry).unwrap();
        let shown = config.without_secrets(&registry);
        assert!(shown.contains(r#""motto": "hello""#) && shown.contains(r#""password": null"#), "{shown}");
        assert!(!shown.contains("sesame"), "{shown}");
    }
}
