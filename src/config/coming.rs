//! Who may come to a listener, as a configuration says it: proxies and networks.

use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::address::Transport;
use crate::json::{Findings, member};
use crate::limits::PROXY_TIMEOUT;
use crate::network::Network;
use crate::units::Span;

/// The proxies in front of a listener, whose connections begin with a PROXY header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyProtocol {
    /// The networks of the proxies; at least one.
    pub from: Vec<Network>,
    /// What happens to connections of others.
    pub others: Others,
    /// How long the header may take.
    pub timeout: Duration,
}

/// What happens to connections of peers that are not among the proxies of a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Others {
    /// They are refused.
    #[default]
    Refuse,
    /// They are served as clients. What they send is not read as a header.
    Direct,
}

/// The networks whose peers may come to a listener, and those whose peers may not. The longest prefix decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AccessRules {
    /// The networks that may come, and then no other one; all that are not denied if there are none.
    pub allow: Vec<Network>,
    /// The networks that may not come.
    pub deny: Vec<Network>,
}

/// The member `proxy_protocol` of a listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ProxyProtocol")]
pub(super) struct ProxyMembers {
    /// The networks of the proxies, such as 10.0.0.0/8 or ::1; on a Unix socket, unix. Their connections must begin with a header.
    #[schemars(length(min = 1))]
    pub(super) from: Vec<Network>,
    /// Connections from elsewhere: refuse, or direct to serve them without a header.
    pub(super) others: Others,
    /// The most time from connecting to the end of the header.
    pub(super) timeout: Span,
}

impl Default for ProxyMembers {
    fn default() -> Self {
        Self { from: Vec::new(), others: Others::default(), timeout: Span::new(PROXY_TIMEOUT) }
    }
}

/// The member `access` of a listener.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "Access")]
pub(super) struct AccessMembers {
    /// The networks that may come, and then no other one; all that are not denied if left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub(super) allow: Vec<Network>,
    /// The networks that may not come. The longest prefix that contains an address decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1))]
    pub(super) deny: Vec<Network>,
}

impl From<&ProxyMembers> for ProxyProtocol {
    fn from(members: &ProxyMembers) -> Self {
        Self { from: members.from.clone(), others: members.others, timeout: members.timeout.as_std() }
    }
}

impl From<&ProxyProtocol> for ProxyMembers {
    fn from(proxy: &ProxyProtocol) -> Self {
        Self { from: proxy.from.clone(), others: proxy.others, timeout: Span::new(proxy.timeout) }
    }
}

impl From<&AccessMembers> for AccessRules {
    fn from(members: &AccessMembers) -> Self {
        Self { allow: members.allow.clone(), deny: members.deny.clone() }
    }
}

impl From<&AccessRules> for AccessMembers {
    fn from(rules: &AccessRules) -> Self {
        Self { allow: rules.allow.clone(), deny: rules.deny.clone() }
    }
}

/// Checks both members of the listener `source`.
pub(super) fn check(
    findings: &mut Findings<'_>,
    source: &Value<'_>,
    transport: Transport,
    members: Option<&ProxyMembers>,
) {
    let [proxies, access] = ["proxy_protocol", "access"].map(|name| member(source, name));
    if !transport.is_stream() {
        for found in [proxies, access].into_iter().flatten() {
            findings.report(found.start(), "expected on a listener of streams only");
        }
        return;
    }
    if let Some(proxies) = proxies {
        check_proxies(findings, proxies, transport, members);
    }
    if let Some(access) = access {
        if proxies.is_none() && transport.is_unix() {
            findings.report(
                access.start(),
                "expected with proxy_protocol only; without it, allow_users says who may connect to a Unix socket",
            );
        }
        check_access(findings, access, transport);
    }
}

/// Checks the member `proxy_protocol`.
fn check_proxies(findings: &mut Findings<'_>, value: &Value<'_>, transport: Transport, members: Option<&ProxyMembers>) {
    match member(value, "from") {
        None if value.as_object().is_some() => findings.report(value.start(), "missing member \"from\""),
        None => {}
        Some(from) => {
            for (network, offset) in networks(findings, from) {
                // Every peer of a Unix socket is a process of this machine, and none of a TCP socket is one.
                if transport.is_unix() && !network.is_unix() {
                    findings.report(offset, format!("expected \"unix\" on a Unix socket, found \"{network}\""));
                }
                not_unix_over_tcp(findings, (network, offset), transport);
            }
        }
    }
    if let Some(timeout) = member(value, "timeout")
        && members.is_some_and(|proxy| proxy.timeout.as_std().is_zero())
    {
        findings.report(timeout.start(), "expected more than zero, found \"0s\"");
    }
}

/// Checks the member `access`.
fn check_access(findings: &mut Findings<'_>, value: &Value<'_>, transport: Transport) {
    let mut taken: Vec<(Network, usize)> = Vec::new();
    for list in ["allow", "deny"].into_iter().filter_map(|name| member(value, name)) {
        for (network, offset) in networks(findings, list) {
            not_unix_over_tcp(findings, (network, offset), transport);
            match taken.iter().find(|(known, _)| *known == network) {
                Some((_, first)) => {
                    let first = findings.path(*first);
                    findings.report(offset, format!("expected each network once, found the network of {first}"));
                }
                None => taken.push((network, offset)),
            }
        }
    }
}

/// Reports `unix` at a TCP listener, where it would never match.
fn not_unix_over_tcp(findings: &mut Findings<'_>, (network, offset): (Network, usize), transport: Transport) {
    if network.is_unix() && !transport.is_unix() {
        findings.report(offset, "expected a network on a TCP listener, found \"unix\"");
    }
}

/// Returns the networks that a list names, each with its place, and reports an empty list.
fn networks(findings: &mut Findings<'_>, list: &Value<'_>) -> Vec<(Network, usize)> {
    let Some(array) = list.as_array() else { return Vec::new() };
    if array.elements.is_empty() {
        findings.report(list.start(), "expected at least one network, found an empty array");
    }
    array.elements.iter().filter_map(|element| Some((text(element)?, element.start()))).collect()
}

/// Returns the network that an element of an array names.
fn text(element: &Value<'_>) -> Option<Network> {
    element.as_string_lit()?.value.parse().ok()
}
