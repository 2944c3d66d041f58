//! From the members of the file to the checked configuration: what types cannot express.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;

use super::members::{FileMembers, LimitsMembers, ListenerMembers, bytes};
use super::taken::Taken;
use super::{AccessRules, Config, ListenerConfig, ProxyProtocol, coming};
use crate::address::access::UnixAccess;
use crate::address::{Listen, UnixAddress};
use crate::json::{Document, Findings, Problems, describe_value, member, members, merged, quoted};
use crate::kernel::REUSE_PORT_WORKS;
use crate::limits::{BACKLOG, Limits, WORKERS_MAX};
use crate::registry::{Protocol, Registry};
use crate::units::Size;

/// The largest `backlog` and `receive_buffer`: the kernel takes a C `int`.
const INT_MAX: u64 = i32::MAX as u64;

/// Checks `text`; `file` is its name in problems.
pub(super) fn check(file: &str, text: &str, registry: &Registry) -> Result<Config, Problems> {
    let document = Document::parse(text).map_err(|error| Problems::one(file, text, error.offset, error.message))?;
    let mut checker = Checker { registry, findings: Findings::new(&document) };
    checker.no_member_twice(&document.root);
    let config = checker.file(&document.root);
    checker.findings.finish(file, text, config)
}

struct Checker<'c> {
    registry: &'c Registry,
    findings: Findings<'c>,
}

/// A listener as the file has it: the value in the text, and its members.
type Listener<'c> = (&'c Value<'c>, ListenerMembers);

impl<'c> Checker<'c> {
    fn file(&mut self, root: &Value<'_>) -> Config {
        let file: FileMembers = self.findings.read(root, false).unwrap_or_default();
        self.not_zero(root, file.zeros());
        self.at_most(root, "workers", file.workers as u64, WORKERS_MAX as u64);
        let limits = member(root, "limits");
        if let Some(limits) = limits {
            self.bounds_of_limits(limits, &file.limits);
        }
        if let (Some(path), Some(value)) = (&file.log.file, member(root, "log").and_then(|log| member(log, "file"))) {
            self.log_file(path, value);
        }
        let listeners = self.listeners(root);
        self.names(&listeners);
        self.addresses(&listeners);
        let mut config = Config::from(&file);
        config.listeners = listeners
            .into_iter()
            .filter_map(|(source, members)| self.listener(source, members, limits, &config.limits))
            .collect();
        config.name_the_nameless();
        config
    }

    fn log_file(&mut self, path: &Path, value: &Value<'_>) {
        let found = match path.as_os_str().as_encoded_bytes() {
            [] => "an empty string",
            path if path.contains(&b'\0') => "a NUL in it",
            _ => return,
        };
        self.findings.report(value.start(), format!("expected the path of a file, found {found}"));
    }

    fn listeners<'v>(&mut self, root: &'v Value<'v>) -> Vec<Listener<'v>> {
        match member(root, "listeners") {
            Some(Value::Array(array)) => {
                if array.elements.is_empty() {
                    self.findings.report(array.start(), "expected at least one listener, found an empty array");
                }
                let read = |source| Some((source, self.findings.read(source, false)?));
                array.elements.iter().filter_map(read).collect()
            }
            None if root.as_object().is_some() => {
                self.findings.report(root.start(), "missing member \"listeners\"");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn listener(
        &mut self,
        source: &Value<'_>,
        members: ListenerMembers,
        inherited: Option<&Value<'_>>,
        default: &Limits,
    ) -> Option<ListenerConfig> {
        self.not_zero(source, members.zeros());
        let backlog = members.backlog.unwrap_or(BACKLOG);
        let receive_buffer = members.receive_buffer;
        self.at_most(source, "backlog", backlog.into(), INT_MAX);
        self.at_most(source, "receive_buffer", receive_buffer.map_or(0, Size::as_u64), INT_MAX);
        if members.reuse_port
            && !REUSE_PORT_WORKS
            && let Some(value) = member(source, "reuse_port")
        {
            self.findings
                .report(value.start(), "expected false: this system does not spread connections over listeners");
        }
        let listen = self.required(source, "listen", members.listen);
        if let Some(listen) = listen.as_ref().filter(|_| members.reuse_port) {
            self.only_where_a_port_is_bound(source, listen);
        }
        let name = self.required(source, "protocol", members.protocol);
        let protocol = name.and_then(|name| self.protocol(source, &name, listen.as_ref()));
        let options = protocol
            .and_then(|protocol| (protocol.options.read)(member(source, "options"), source, &mut self.findings));
        let limits = match &listen {
            Some(listen) if !listen.transport.is_stream() => self.only_what_datagrams_have(source, listen),
            Some(listen) => {
                match listen.passed {
                    Some(_) => self.only_what_a_passed_socket_has(source),
                    None => self.no_receive_buffer(source),
                }
                self.limits(source, inherited, default)
            }
            None => None,
        };
        if let Some(listen) = &listen {
            self.only_what_unix_sockets_have(source, listen);
            coming::check(&mut self.findings, source, listen.transport, members.proxy_protocol.as_ref());
        }
        Some(ListenerConfig {
            name: members.name.unwrap_or_default(),
            listen: listen?,
            protocol: protocol?.name.to_owned(),
            options: options?,
            limits: limits?,
            backlog,
            receive_buffer: receive_buffer.map(bytes),
            reuse_port: members.reuse_port,
            access: UnixAccess {
                mode: members.mode.unwrap_or_default(),
                owner: members.owner,
                group: members.group,
                allow_users: members.allow_users,
            },
            proxy_protocol: members.proxy_protocol.as_ref().map(ProxyProtocol::from),
            access_rules: members.access.as_ref().map(AccessRules::from).unwrap_or_default(),
        })
    }

    /// Reports a member that a listener must have and that is missing. A wrong one has been reported already.
    fn required<T>(&mut self, source: &Value<'_>, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && member(source, name).is_none() {
            self.findings.report(source.start(), format!("missing member {}", quoted(name)));
        }
        value
    }

    fn protocol(&mut self, source: &Value<'_>, name: &str, listen: Option<&Listen>) -> Option<&'c Protocol> {
        let offset = member(source, "protocol").map_or_else(|| source.start(), Ranged::start);
        let protocol = match self.registry.protocol(name) {
            Ok(protocol) => protocol,
            Err(message) => {
                self.findings.report(offset, message);
                return None;
            }
        };
        // The transport of a passed socket is known only at the start.
        let listen = listen.filter(|listen| listen.passed.is_none());
        if let Some(Err(message)) = listen.map(|listen| protocol.speaks(listen.transport)) {
            self.findings.report(offset, message);
        }
        Some(protocol)
    }

    fn only_what_datagrams_have(&mut self, source: &Value<'_>, listen: &Listen) -> Option<Limits> {
        let (only, found) = if listen.transport.is_unix() {
            ("a listener of streams", "a datagram socket")
        } else {
            ("a TCP listener", "UDP")
        };
        for limit in member(source, "limits").map_or(&[][..], members) {
            let message = format!("expected on {only} only; {found} has no connections to limit");
            self.findings.report(limit.value.start(), message);
        }
        if let Some(backlog) = member(source, "backlog") {
            let message = format!("expected on {only} only; {found} has no connections to accept");
            self.findings.report(backlog.start(), message);
        }
        if listen.transport.is_unix() {
            self.no_receive_buffer(source);
        }
        Some(Limits::default())
    }

    /// Reports the options of a socket that its opener sets: for a passed socket that is not the server.
    fn only_what_a_passed_socket_has(&mut self, source: &Value<'_>) {
        for (name, setting) in [("backlog", "Backlog="), ("receive_buffer", "ReceiveBuffer=")] {
            if let Some(value) = member(source, name) {
                let message = format!("expected in the socket unit as {setting}, because the socket is a passed one");
                self.findings.report(value.start(), message);
            }
        }
    }

    fn no_receive_buffer(&mut self, source: &Value<'_>) {
        if let Some(receive_buffer) = member(source, "receive_buffer") {
            self.findings.report(receive_buffer.start(), "expected on a UDP listener only");
        }
    }

    fn only_where_a_port_is_bound(&mut self, source: &Value<'_>, listen: &Listen) {
        let expected = match listen {
            Listen { unix: Some(_), .. } => "expected false: several processes cannot have the same Unix socket",
            Listen { passed: Some(_), .. } => {
                "expected in the socket unit as ReusePort=, because the socket is a passed one"
            }
            _ => return,
        };
        if let Some(value) = member(source, "reuse_port") {
            self.findings.report(value.start(), expected);
        }
    }

    fn only_what_unix_sockets_have(&mut self, source: &Value<'_>, listen: &Listen) {
        if !matches!(listen.unix, Some(UnixAddress::Path(_))) {
            for found in ["mode", "owner", "group"].into_iter().filter_map(|name| member(source, name)) {
                self.findings.report(found.start(), "expected on a Unix socket with a path only, which is a file");
            }
        }
        let Some(users) = member(source, "allow_users") else { return };
        if !(listen.transport.is_unix() && listen.transport.is_stream()) {
            let message =
                "expected on a listener of Unix streams only; elsewhere the kernel does not name the user of a peer";
            self.findings.report(users.start(), message);
        } else if users.as_array().is_some_and(|array| array.elements.is_empty()) {
            self.findings.report(users.start(), "expected at least one user, found an empty array");
        }
    }

    fn limits(&mut self, source: &Value<'_>, inherited: Option<&Value<'_>>, default: &Limits) -> Option<Limits> {
        let Some(own) = member(source, "limits").and_then(Value::as_object) else {
            return Some(default.clone());
        };
        let merged = merged(own, inherited);
        let limits: LimitsMembers = self.findings.read(&merged, false)?;
        self.bounds_of_limits(&merged, &limits);
        Some(Limits::from(&limits))
    }

    fn bounds_of_limits(&mut self, source: &Value<'_>, limits: &LimitsMembers) {
        self.not_zero(source, limits.zeros());
        self.at_most(source, "ip_prefix_v4", limits.ip_prefix_v4.into(), 32);
        self.at_most(source, "ip_prefix_v6", limits.ip_prefix_v6.into(), 128);
    }

    fn no_member_twice(&mut self, value: &Value<'_>) {
        let mut names = BTreeSet::new();
        for member in members(value) {
            let name = member.name.as_str();
            if !names.insert(name) {
                self.findings
                    .report(member.name.start(), format!("member {} given twice; expected it once", quoted(name)));
            }
            self.no_member_twice(&member.value);
        }
        for element in value.as_array().map_or(&[][..], |array| &array.elements) {
            self.no_member_twice(element);
        }
    }

    fn not_zero(&mut self, source: &Value<'_>, names: impl Iterator<Item = &'static str>) {
        for value in names.filter_map(|name| member(source, name)) {
            self.findings.report(value.start(), format!("expected more than zero, found {}", describe_value(value)));
        }
    }

    fn at_most(&mut self, source: &Value<'_>, name: &str, count: u64, most: u64) {
        if let Some(value) = member(source, name).filter(|_| count > most) {
            self.findings.report(value.start(), format!("expected at most {most}, found {}", describe_value(value)));
        }
    }

    /// Checks the names: they are unique, and contain no white space, because spaces separate them in output.
    fn names(&mut self, listeners: &[Listener<'_>]) {
        let mut taken = BTreeMap::new();
        for (source, members) in listeners {
            let (Some(name), Some(value)) = (&members.name, member(source, "name")) else { continue };
            let without = if name.is_empty() {
                Some("of at least one character")
            } else if name.contains(char::is_whitespace) {
                Some("without white space")
            } else if name.contains(char::is_control) {
                Some("without control characters")
            } else {
                None
            };
            if let Some(without) = without {
                self.findings.report(value.start(), format!("expected a name {without}, found {}", quoted(name)));
            } else if let Some(first) = taken.get(name) {
                let first = self.findings.path(*first);
                self.findings.report(value.start(), format!("expected a unique name, found the name of {first}"));
            } else {
                taken.insert(name, source.start());
            }
        }
    }

    fn addresses(&mut self, listeners: &[Listener<'_>]) {
        let mut taken = Taken::new();
        for (source, members) in listeners {
            let (Some(listen), Some(value)) = (&members.listen, member(source, "listen")) else { continue };
            if let Some((first, offset)) = taken.add(listen, source.start())
                && let Some(message) = listen.clash(first, &self.findings.path(offset))
            {
                self.findings.report(value.start(), message);
            }
        }
    }
}
