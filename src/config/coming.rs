//! Who may come to a listener, as a configuration says it: proxies and networks.

use std::time::Duration;

use jsonc_parser::ast::Value;
use jsonc_parser::common::Ranged;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// The networks of the proxies, such as 10.0.0.0/8, ::1 or unix. Their connections must begin with a header.
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
pub(super) fn check(findings: &mut Findings<'_>, source: &Value<'_>, proxy: Option<&ProxyMembers>) {
    let elements = |list: Option<&Value<'_>>| {
        let array = list.and_then(Value::as_array);
        array.map(|array| array.elements.iter().map(|element| (text(element), element.start())).collect::<Vec<_>>())
    };
    let empty = "expected at least one network, found an empty array";
    if let Some(value) = member(source, "proxy_protocol") {
        match member(value, "from") {
            None if value.as_object().is_some() => findings.report(value.start(), "missing member \"from\""),
            Some(from) if elements(Some(from)).is_some_and(|networks| networks.is_empty()) => {
                findings.report(from.start(), empty);
            }
            _ => {}
        }
        if let Some(timeout) = member(value, "timeout")
            && proxy.is_some_and(|proxy| proxy.timeout.as_std().is_zero())
        {
            findings.report(timeout.start(), "expected more than zero, found \"0s\"");
        }
    }
    let Some(access) = member(source, "access") else { return };
    let mut taken: Vec<(Network, usize)> = Vec::new();
    for name in ["allow", "deny"] {
        let Some(list) = member(access, name) else { continue };
        let Some(networks) = elements(Some(list)) else { continue };
        if networks.is_empty() {
            findings.report(list.start(), empty);
        }
        for (network, offset) in networks.into_iter().filter_map(|(network, offset)| Some((network?, offset))) {
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

/// Returns the network that an element of an array names.
fn text(element: &Value<'_>) -> Option<Network> {
    element.as_string_lit()?.value.parse().ok()
}
