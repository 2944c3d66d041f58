//! What `reactor protocols` prints.

use std::fmt::Write;

use serde_json::Value;

use crate::registry::{Protocol, Registry};

/// All protocols: over what they work, what they do, their options with defaults, and a line to try each.
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
            let about =
                schema.pointer(&format!("/properties/{name}/description")).and_then(Value::as_str).unwrap_or("");
            let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
            let _ = writeln!(entry, "    option {name} = {default}  {about}");
        }
    }
    let _ = writeln!(entry, "    try: {}", protocol.example);
    entry
}
