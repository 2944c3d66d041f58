//! The defaults are written in four places, which agree: code, embedded configuration, schema and documentation. So are the limits
//! that cannot be configured, in code and documentation.

use serde_json::{Map, json};

use super::super::*;
use crate::limits;
use crate::units::{Rate, Size, Span};

#[test]
fn the_embedded_configuration_states_the_defaults_of_the_code() {
    let registry = Registry::built_in();
    let config = Config::embedded(&registry).unwrap();
    let bare = Config::without_listeners();
    assert_eq!(config.limits, bare.limits);
    assert_eq!(config.max_pending_output_total, bare.max_pending_output_total);
    assert_eq!(config.slow_turn, bare.slow_turn);
    assert_eq!(config.workers, bare.workers);
    assert_eq!(config.shutdown_timeout, bare.shutdown_timeout);
    assert_eq!(config.log, bare.log);
    assert_eq!(config.shutdown_delay, bare.shutdown_delay);
    assert_eq!(config.busy_poll, bare.busy_poll);
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
    let own = ["receive_buffer", "mode", "owner", "group", "allow_users", "proxy_protocol", "access"];
    listener.extend(own.map(str::to_owned));
    assert_eq!(known("/$defs/Listener"), listener);
    let mut log = names(&file["log"]);
    log.insert("file".to_owned());
    assert_eq!(known("/$defs/Log"), log);
    for pointer in ["", "/$defs/Limits", "/$defs/Listener", "/$defs/Log", "/$defs/ProxyProtocol", "/$defs/Access"] {
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

/// Returns the rows of a document that are `| \`name\` | \`value\` | ...`, by name.
fn stated(document: &str) -> BTreeMap<String, String> {
    let rows = document.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let name = cells.next()?.trim_end_matches('`');
        let value = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        Some((name.to_owned(), value.to_owned()))
    });
    rows.collect()
}

/// Returns the default of every member and option, as a file would have it.
fn defaults() -> BTreeMap<String, Value> {
    let mut defaults = BTreeMap::new();
    let mut collect = |prefix: &str, members: &Value| {
        for (name, value) in
            members.as_object().into_iter().flatten().filter(|(_, value)| !value.is_array() && !value.is_object())
        {
            defaults.insert(format!("{prefix}{name}"), value.clone());
        }
    };
    let file = serde_json::to_value(FileMembers::default()).unwrap();
    collect("", &file);
    collect("limits.", &file["limits"]);
    collect("log.", &file["log"]);
    collect("", &json!({ "backlog": BACKLOG, "reuse_port": false }));
    collect("proxy_protocol.", &serde_json::to_value(ProxyMembers::default()).unwrap());
    for protocol in Registry::built_in().protocols() {
        collect(&format!("{}: ", protocol.name), &protocol.default_options());
    }
    defaults
}

#[test]
fn the_documented_defaults_are_those_of_the_code() {
    let actual: BTreeMap<_, _> = defaults().into_iter().map(|(name, value)| (name, value.to_string())).collect();
    assert_eq!(stated(include_str!("../../../docs/configuration.md")), actual);
}

/// How a document writes a limit: bytes and durations as in a configuration.
trait Stated {
    fn stated(self, name: &str) -> String;
}

impl Stated for usize {
    fn stated(self, name: &str) -> String {
        if name.contains("BYTES") { size(self).to_string() } else { self.to_string() }
    }
}

impl Stated for u16 {
    fn stated(self, name: &str) -> String {
        usize::from(self).stated(name)
    }
}

impl Stated for u32 {
    fn stated(self, name: &str) -> String {
        (self as usize).stated(name)
    }
}

impl Stated for i32 {
    fn stated(self, _: &str) -> String {
        self.to_string()
    }
}

impl Stated for Duration {
    fn stated(self, _: &str) -> String {
        Span::new(self).to_string()
    }
}

macro_rules! constants {
    ($($name:ident)*) => {
        [$((stringify!($name).to_owned(), limits::$name.stated(stringify!($name)))),*]
    };
}

/// Returns the parts of the most memory that a server with one listener needs, with all defaults.
fn memory() -> [(String, String); 5] {
    const KIB: usize = 1024;
    let config = Config::without_listeners();
    let connections = config.limits.max_connections;
    let request = Size::bytes(4 * KIB as u64);
    assert_eq!(Registry::built_in().find("sum").unwrap().default_options()["max_request"], request.to_string());
    let last_visit = config.limits.max_pending_output + 3 * limits::READ_BYTES;
    let pending = config.max_pending_output_total + last_visit + connections * 3 * limits::PRESSED_READ_BYTES;
    let parts = [
        ("connections", connections * KIB),
        ("input", connections * (limits::READ_BYTES + bytes(request))),
        ("output", 2 * pending),
        ("uploads", limits::BULK_BUFFERS_MAX * limits::BULK_BUFFER_BYTES + limits::PIPES_MAX * limits::PIPE_BYTES),
        ("messages", 3 * limits::MESSAGES_BYTES_MAX),
    ];
    parts.map(|(part, most)| (format!("memory: {part}"), format!("{}MiB", most.div_ceil(KIB * KIB))))
}

#[test]
fn the_limits_in_the_document_of_reliability_are_those_of_the_code() {
    let constants = constants! {
        READ_BYTES VISIT_BYTES_MAX QUIET_BYTES_MAX CALL_UNITS VISIT_UNITS ACCEPT_UNITS REAP_UNITS QUIET_VISIT_UNITS LOUD_VISIT_UNITS
        LOOK_EVERY WINDOW_UNITS_MAX QUIET_VISIT_TIME LOUD_VISIT_TIME DOOR_VISIT_TIME QUIET_TURN_TIME LOUD_TURN_TIME REAP_TURN_TIME
        BACKLOG VISIT_ACCEPTS_MIN VISIT_REFUSALS_MAX RELIEF_EVERY UNSENT_BYTES_MAX VISIT_ACCEPTS_MAX VISIT_DATAGRAMS_MAX DATAGRAM_BATCH_MAX READ_BUFFER_BYTES
        DATAGRAM_BYTES_MAX UNIX_ADDRESS_BYTES_MAX UNIX_DIRECTORY_BYTES_MAX LOCK_ATTEMPTS_MAX UNCONSUMED_BYTES_MAX PRESSED_READ_BYTES KEPT_OUTBOX_BYTES_MAX EVENTS_MAX WORKERS WORKERS_MAX WORKER_NICE
        OPENING_BYTES_MAX PROXY_LINE_BYTES_MAX PROXY_HEADER_BYTES_MAX PROXY_TIMEOUT RATE_TABLE_MAX
        JOBS_MAX JOB_WAIT ACCEPT_ERRORS_MAX LAST_VISITS_MAX CONNECT_TIMEOUT CONNECT_ADDRESSES_MAX
        BULK_BUFFER_BYTES BULK_BUFFERS_PER_CONNECTION_MAX BULK_BUFFERS_MAX RESERVED_DESCRIPTORS ERROR_PAUSE CUT_GRACE
        FEW_DESCRIPTORS PIPE_BYTES PIPES_MAX DESCRIPTORS_PER_PIPE PIPE_WORTH_BYTES SPLICED_PER_BYTE
        REASONS_MAX LOG_LINES_MAX LOG_PERIOD PROBLEMS_MAX CONFIG_BYTES_MAX LOG_QUEUE_BYTES_MAX LOG_FLUSH LOG_IDLE LOG_RETRY
        MESSAGES_MAX MESSAGES_BYTES_MAX MESSAGES_PER_SENDER_MAX MESSAGE_UNITS GROUPS_MAX GROUPS_PER_CONNECTION_MAX GROUP_NAME_BYTES_MAX TICK_MIN TICK_MAX
        XRAY_RECORDS_MAX XRAY_BATCH_RECORDS_MAX XRAY_BATCHES_MAX XRAY_LAST_RECORDS
        RELOAD_LINES_MAX DIFFERENCE_CHARS_MAX RETIRED_ENDPOINTS_MAX
        DROPS_LOGGED_EVERY NOTIFY_STATUS_EVERY NOTIFY_AGAIN NOTIFY_REASON_BYTES_MAX STOP_EXTENSION WATCHDOG_EVERY_MIN
        REPORT_ROWS_MAX HTTP_HEAD_BYTES_MAX HTTP_HEADERS_MAX RECORDING_SECONDS_MAX PANIC_MESSAGE_CHARS_MAX LOG_CHUNK_BYTES_MAX
    };
    let in_code = include_str!("../../limits.rs")
        .lines()
        .filter(|line| line.starts_with("pub const ") || line.starts_with("pub(crate) const "))
        .count();
    assert_eq!(constants.len(), in_code, "a constant is missing here");

    let is_quantity = |value: &Value| {
        let text = value.as_str().unwrap_or_default();
        value.is_number()
            || text.parse::<Size>().is_ok()
            || text.parse::<Span>().is_ok()
            || text.parse::<Rate>().is_ok()
    };
    let configured = defaults().into_iter().filter(|(_, value)| is_quantity(value));
    let actual: BTreeMap<_, _> =
        configured.map(|(name, value)| (name, value.to_string())).chain(constants).chain(memory()).collect();
    assert_eq!(stated(include_str!("../../../docs/reliability.md")), actual);
}

/// The rows of the tables of options in `docs/protocols.md` are `| option | default | meaning |`, below a heading with
/// the name of the protocol; both file protocols share theirs.
#[test]
fn the_guide_to_the_protocols_states_the_same_defaults_and_ports() {
    let registry = Registry::built_in();
    let guide = include_str!("../../../docs/protocols.md");
    let section = |heading: &str| guide.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let headings = [
        ("sum", "sum over TCP"),
        ("file", "Names and files"),
        ("file-sized", "Names and files"),
        ("greeting", "greeting"),
        ("admin", "admin"),
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
