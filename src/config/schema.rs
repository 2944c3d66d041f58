//! The JSON Schema of the configuration, for editors.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::members::FileMembers;
use crate::registry::Registry;

/// Returns the JSON Schema (draft 2020-12) of a configuration that may use the protocols of `registry`.
///
/// A schema cannot express everything: [`Config::parse`](super::Config::parse) checks more.
#[must_use]
pub fn schema(registry: &Registry) -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut rules: Vec<_> = registry
        .protocols()
        .map(|protocol| {
            let options = (protocol.options.subschema)(&mut generator);
            rule(json!({ "protocol": { "const": protocol.name } }), json!({ "options": options }))
        })
        .collect();
    let listens = |pattern: &str| json!({ "listen": { "pattern": pattern } });
    rules.push(rule(listens("^(tcp|unix)"), json!({ "receive_buffer": false })));
    rules.push(rule(
        listens("^(udp|unixgram)"),
        json!({ "backlog": false, "limits": { "maxProperties": 0 }, "proxy_protocol": false, "access": false }),
    ));
    rules.push(rule(
        listens("^(tcp|udp|fd:|unix(gram)?:(//)?@)"),
        json!({ "mode": false, "owner": false, "group": false }),
    ));
    rules.push(rule(listens("^(tcp|udp|fd:|unixgram)"), json!({ "allow_users": false })));
    rules.push(rule(listens("^(unix|fd:)"), json!({ "reuse_port": { "const": false } })));
    rules.push(rule(listens("^fd:"), json!({ "backlog": false, "receive_buffer": false })));

    let mut schema = generator.into_root_schema_for::<FileMembers>();
    schema.insert("required".to_owned(), json!(["listeners"]));
    if let Some(listeners) = schema.pointer_mut("/properties/listeners").and_then(Value::as_object_mut) {
        listeners.remove("default");
    }
    if let Some(listener) = schema.pointer_mut("/$defs/Listener").and_then(Value::as_object_mut) {
        listener.insert("required".to_owned(), json!(["listen", "protocol"]));
        listener.insert("allOf".to_owned(), rules.into());
    }
    if let Some(proxy) = schema.pointer_mut("/$defs/ProxyProtocol").and_then(Value::as_object_mut) {
        proxy.insert("required".to_owned(), json!(["from"]));
    }
    if let Some(protocol) = schema.pointer_mut("/$defs/Listener/properties/protocol").and_then(Value::as_object_mut) {
        protocol.insert("enum".to_owned(), registry.protocols().map(|protocol| protocol.name).collect());
    }
    schema.to_value()
}

/// Returns the rule: if a listener has members like `these`, then `others` holds for its other members.
fn rule(these: Value, others: Value) -> Value {
    let required: Vec<_> = these.as_object().into_iter().flat_map(|members| members.keys().cloned()).collect();
    json!({ "if": { "properties": these, "required": required }, "then": { "properties": others } })
}
