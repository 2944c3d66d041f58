//! The output of `reactor protocols`.

use std::fmt::Write;

use serde_json::Value;

use crate::json::alternatives;
use crate::registry::{Protocol, Registry};

/// Lists all protocols: their transports, what they do, their options with defaults, and a line to try each.
pub(super) fn list(registry: &Registry) -> String {
    let entries: Vec<_> = registry.protocols().map(entry).collect();
    entries.join("\n")
}

fn entry(protocol: &Protocol) -> String {
    let transports: Vec<_> = protocol.transports().map(|transport| transport.to_string()).collect();
    let mut entry = format!("{} ({})\n    {}\n", protocol.name, transports.join(", "), protocol.about);
    let schema = protocol.options_schema();
    if let Value::Object(defaults) = protocol.default_options() {
        for (name, default) in defaults {
            let option = schema.pointer(&format!("/properties/{name}")).unwrap_or(&Value::Null);
            let about = option["description"].as_str().unwrap_or_default();
            let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            let values = values(option, &schema);
            let values = if values.is_empty() { String::new() } else { format!(" ({})", alternatives(&values)) };
            let _ = writeln!(entry, "    option {name} = {default}{values}  {about}");
        }
    }
    let _ = writeln!(entry, "    try: {}", protocol.example);
    entry
}

/// Returns the strings that an option may have, if its schema, or the one that it refers to, lists them.
fn values<'s>(option: &'s Value, schema: &'s Value) -> Vec<&'s str> {
    let referred = option["$ref"].as_str().and_then(|path| schema.pointer(path.strip_prefix('#')?));
    let option = referred.unwrap_or(option);
    let listed = option["enum"].as_array().into_iter().flatten();
    let described = option["oneOf"].as_array().into_iter().flatten();
    let described = described.flat_map(|one| one["enum"].as_array().into_iter().flatten().chain(one.get("const")));
    listed.chain(described).filter_map(Value::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_with_few_values_is_listed_with_all_of_them() {
        let list = list(&Registry::built_in());
        let option = "option existing = \"refuse\" (\"refuse\", \"replace\" or \"number\")  What happens to";
        assert_eq!(list.matches(option).count(), 2, "{list}");
        assert!(list.contains("option max_request = \"4KiB\"  "), "{list}");
    }
}
