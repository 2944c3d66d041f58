//! The defaults are said in four places: code, embedded configuration, schema and documentation. They agree.

use serde_json::{Map, json};

use super::*;

#[test]
fn the_embedded_configuration_states_the_defaults_of_the_code() {
    let registry = Registry::built_in();
    let config = Config::embedded(&registry).unwrap();
    let bare = Config::without_listeners();
    assert_eq!(config.limits, bare.limits);
    assert_eq!(config.max_pending_output_total, bare.max_pending_output_total);
    assert_eq!(config.shutdown_timeout, bare.shutdown_timeout);
    for listener in &config.listeners {
        assert_eq!(listener.options, registry.find(&listener.protocol).unwrap().default_options(), "{}", listener.name);
    }
    assert_eq!(Config::parse("again", &config.to_json(), &registry).unwrap(), config);
}

#[test]
fn the_schema_knows_every_member_and_only_those() {
    let registry = Registry::built_in();
    let schema = schema(&registry);
    let file: Value = serde_json::from_str(&Config::embedded(&registry).unwrap().to_json()).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let known = |pointer: &str| names(schema.pointer(&format!("{pointer}/properties")).unwrap());

    let mut top = names(&file);
    top.insert("$schema".to_owned());
    assert_eq!(known(""), top);
    assert_eq!(known("/$defs/Limits"), names(&file["limits"]));
    let mut listener = names(&file["listeners"][0]);
    listener.insert("receive_buffer".to_owned());
    assert_eq!(known("/$defs/Listener"), listener);
    for pointer in ["", "/$defs/Limits", "/$defs/Listener"] {
        assert_eq!(schema.pointer(&format!("{pointer}/additionalProperties")), Some(&json!(false)), "{pointer}");
    }

    let rules = schema["$defs"]["Listener"]["allOf"].as_array().unwrap();
    for protocol in registry.protocols() {
        let rule = rules.iter().find(|rule| rule["if"]["properties"]["protocol"]["const"] == protocol.name).unwrap();
        let options = &rule["then"]["properties"]["options"];
        let stated = options["properties"].as_object().cloned().unwrap_or_default();
        let defaults: Map<_, _> =
            stated.iter().map(|(name, option)| (name.clone(), option["default"].clone())).collect();
        assert_eq!(Value::Object(defaults), protocol.default_options(), "{}", protocol.name);
        assert_eq!(options["additionalProperties"], json!(false), "{}", protocol.name);
    }
}

/// The rows of the tables in `docs/configuration.md` are `| member | default | meaning |`.
#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let registry = Registry::built_in();
    let documented: BTreeMap<String, String> = include_str!("../../docs/configuration.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            let default = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            Some((name.to_owned(), default.to_owned()))
        })
        .collect();

    let mut actual = BTreeMap::new();
    let mut collect = |prefix: &str, members: &Value| {
        for (name, value) in
            members.as_object().into_iter().flatten().filter(|(_, value)| !value.is_array() && !value.is_object())
        {
            actual.insert(format!("{prefix}{name}"), value.to_string());
        }
    };
    let file = serde_json::to_value(FileMembers::default()).unwrap();
    collect("", &file);
    collect("limits.", &file["limits"]);
    collect("", &json!({ "backlog": check::BACKLOG }));
    for protocol in registry.protocols() {
        collect(&format!("{}: ", protocol.name), &protocol.default_options());
    }
    assert_eq!(documented, actual);
}

/// The rows of the tables of options in `docs/protocols.md` are `| option | default | meaning |`, below a heading with
/// the name of the protocol; both file protocols share theirs.
#[test]
fn the_guide_to_the_protocols_states_the_same_defaults_and_ports() {
    let registry = Registry::built_in();
    let guide = include_str!("../../docs/protocols.md");
    let section = |heading: &str| guide.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let headings = [
        ("sum", "sum over TCP"),
        ("file", "Names and files"),
        ("file-sized", "Names and files"),
        ("greeting", "greeting"),
    ];
    for (protocol, heading) in headings {
        let options = registry.find(protocol).unwrap().default_options();
        let stated = section(heading).lines().filter(|line| line.starts_with("| `")).count();
        assert_eq!(stated, options.as_object().unwrap().len(), "{protocol}");
        for (option, default) in options.as_object().unwrap() {
            assert!(
                section(heading).contains(&format!("\n| `{option}` | `{default}` |")),
                "{protocol}: {option}: {default}"
            );
        }
    }
    for listener in Config::embedded(&registry).unwrap().listeners {
        let transport = format!("{:?}", listener.listen.transport).to_uppercase();
        let row = format!("| {transport} | {} |", listener.listen.port);
        assert!(
            guide.lines().any(|line| line.starts_with(&format!("| [{}]", listener.protocol)) && line.contains(&row)),
            "{row}"
        );
    }
}
