//! What differs between two configurations, a line for each member, in the words of the file.

use serde_json::{Map, Value};

use super::members::{FileMembers, ListenerMembers};
use super::{Config, ListenerConfig};
use crate::json::quoted;
use crate::limits::DIFFERENCE_CHARS_MAX;

/// Returns the members outside the listeners that differ: `workers 4 -> 8`.
pub(crate) fn of_the_top(old: &Config, new: &Config) -> Vec<String> {
    let [old, new] = [old, new].map(|config| {
        let top = FileMembers { listeners: Vec::new(), ..FileMembers::from(config) };
        serde_json::to_value(top).unwrap_or_default()
    });
    between("", &old, &new)
}

/// Returns the members of a listener that differ, each after its name: `sum: idle_timeout 30s -> 1m`.
pub(crate) fn of_a_listener(old: &ListenerConfig, new: &ListenerConfig) -> Vec<String> {
    let [mut before, mut after] =
        [old, new].map(|listener| serde_json::to_value(ListenerMembers::from(listener)).unwrap_or_default());
    if old.protocol != new.protocol {
        // The options of another protocol are others.
        for members in [&mut before, &mut after].into_iter().filter_map(Value::as_object_mut) {
            members.remove("options");
        }
    }
    between("", &before, &after).into_iter().map(|line| format!("{}: {line}", old.name)).collect()
}

/// Compares two values of the member `path`. A limit is called by its own name, because no other member has that name.
fn between(path: &str, old: &Value, new: &Value) -> Vec<String> {
    let none = Map::new();
    match (old, new) {
        (old, new) if old == new => Vec::new(),
        (Value::Object(_), _) | (_, Value::Object(_)) => {
            let [old, new] = [old, new].map(|value| value.as_object().unwrap_or(&none));
            let only_new = new.keys().filter(|name| !old.contains_key(*name));
            let of_a_member = |name: &String| {
                let path = if path.is_empty() || path == "limits" { name.clone() } else { format!("{path}.{name}") };
                let value = |members: &Map<String, Value>| members.get(name).cloned().unwrap_or_default();
                between(&path, &value(old), &value(new))
            };
            old.keys().chain(only_new).flat_map(of_a_member).collect()
        }
        _ => vec![format!("{path} {} -> {}", shown(old), shown(new))],
    }
}

/// Returns a value as one short word or quoted text.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()) => text.clone(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    };
    match text.char_indices().nth(DIFFERENCE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn config(text: &str) -> Config {
        Config::parse("test.json", text, &Registry::built_in()).expect("a configuration")
    }

    #[test]
    fn each_member_that_differs_has_a_line_in_the_words_of_the_file() {
        let old = config(r#"{ "listeners": [{ "listen": "udp://:1", "protocol": "sum" }], "workers": 4 }"#);
        let new = config(
            r#"{ "listeners": [{ "listen": "udp://:1", "protocol": "sum", "name": "add", "receive_buffer": "1MiB",
                 "options": { "max_request": "1KiB" } }], "limits": { "idle_timeout": "1m" }, "workers": 8 }"#,
        );
        assert_eq!(of_the_top(&old, &new), ["idle_timeout 30s -> 1m", "workers 4 -> 8"]);
        assert_eq!(
            of_a_listener(&old.listeners[0], &new.listeners[0]),
            [
                "sum-udp: name sum-udp -> add",
                "sum-udp: options.max_request 4KiB -> 1KiB",
                "sum-udp: receive_buffer none -> 1MiB"
            ]
        );
        assert_eq!(of_the_top(&old, &old), [""; 0]);
    }

    #[test]
    fn a_listener_with_another_protocol_has_no_lines_for_its_options() {
        let listening = |protocol| {
            config(&format!(
                r#"{{ "listeners": [{{ "listen": "tcp://:1", "protocol": "{protocol}", "name": "x" }}] }}"#
            ))
        };
        let (old, new) = (listening("sum"), listening("greeting"));
        assert_eq!(of_a_listener(&old.listeners[0], &new.listeners[0]), ["x: protocol sum -> greeting"]);
    }

    #[test]
    fn a_long_or_strange_value_is_one_short_line() {
        assert_eq!(shown(&"a\nb".into()), "\"a\\nb\"");
        assert_eq!(shown(&"x".repeat(1000).into()).chars().count(), DIFFERENCE_CHARS_MAX + 1);
    }
}
