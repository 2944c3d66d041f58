//! Who may come to a listener: what a configuration may say, and what is wrong with it.

use super::*;
use crate::limits;

const TCP: &str = r#""listen": "tcp://127.0.0.1:1", "protocol": "time""#;
const EMPTY: &str = "expected at least one network, found an empty array";

/// Returns the report for a TCP listener with these members, without the name of the listener.
fn told(members: &str) -> Vec<String> {
    let told = reported_for(&format!("{TCP}, {members}"));
    told.iter().map(|line| line.trim_start_matches("listeners[0].").to_owned()).collect()
}

#[test]
fn proxies_networks_and_rates_print_back_as_they_are() {
    let config = accepted(&format!(
        r#"{{ "listeners": [{{ {TCP}, "proxy_protocol": {{ "from": ["10.0.0.0/8", "::1"], "others": "direct" }},
            "access": {{ "allow": ["::/0"], "deny": ["192.0.2.1"] }},
            "limits": {{ "connection_rate": "5/m", "ip_prefix_v4": 24 }} }}] }}"#
    ));
    assert_eq!(accepted(&config.to_json()), config);
    let listener = &config.listeners[0];
    let proxy = listener.proxy_protocol.as_ref().unwrap();
    assert_eq!((proxy.timeout, proxy.others, proxy.from.len()), (limits::PROXY_TIMEOUT, Others::Direct, 2));
    assert_eq!(listener.limits.connection_rate, Some("5/m".parse().unwrap()));
}

#[test]
fn a_listener_that_trusts_no_proxy_is_an_error() {
    assert_eq!(told(r#""proxy_protocol": {}"#), ["proxy_protocol: missing member \"from\""]);
    assert_eq!(told(r#""proxy_protocol": { "from": [] }"#), [format!("proxy_protocol.from: {EMPTY}")]);
    assert_eq!(
        told(r#""proxy_protocol": { "from": ["localhost"] }"#),
        [
            "proxy_protocol.from[0]: expected a network such as \"10.0.0.0/8\", an IP address, or \"unix\", found \"localhost\""
        ]
    );
    assert_eq!(
        told(r#""proxy_protocol": { "from": ["::1"], "timeout": "0s" }"#),
        ["proxy_protocol.timeout: expected more than zero, found \"0s\""]
    );
}

#[test]
fn a_network_is_named_once_and_no_list_is_empty() {
    assert_eq!(told(r#""access": { "allow": [] }"#), [format!("access.allow: {EMPTY}")]);
    assert_eq!(
        told(r#""access": { "allow": ["10.0.0.0/8", "::1"], "deny": ["::1", "10.0.0.0/8"] }"#),
        [
            "access.deny[0]: expected each network once, found the network of listeners[0].access.allow[1]",
            "access.deny[1]: expected each network once, found the network of listeners[0].access.allow[0]",
        ]
    );
}

#[test]
fn prefixes_and_rates_have_bounds() {
    assert_eq!(
        told(r#""limits": { "ip_prefix_v4": 33, "ip_prefix_v6": 0 }"#),
        ["limits.ip_prefix_v4: expected at most 32, found 33", "limits.ip_prefix_v6: expected more than zero, found 0"]
    );
    assert_eq!(
        told(r#""limits": { "connection_rate": "5" }"#),
        ["limits.connection_rate: expected a rate such as \"100/s\" (a whole number, then /s, /m or /h), found \"5\""]
    );
}

#[test]
fn a_listener_of_datagrams_has_neither_proxies_nor_access() {
    for listen in ["udp://:1", "unixgram:///run/sum"] {
        let listener = format!(
            r#""listen": "{listen}", "protocol": "sum", "proxy_protocol": {{ "from": ["::1"] }}, "access": {{}}"#
        );
        let expected = ["proxy_protocol", "access"]
            .map(|name| format!("listeners[0].{name}: expected on a listener of streams only"));
        assert_eq!(reported_for(&listener), expected);
    }
}

#[test]
fn unix_names_the_peers_of_a_unix_socket_and_no_others() {
    let unix = |members: &str| reported_for(&format!(r#""listen": "unix:///run/time", "protocol": "time", {members}"#));
    assert_eq!(
        unix(r#""proxy_protocol": { "from": ["unix", "127.0.0.1"] }, "access": { "allow": ["::/0", "unix"] }"#),
        ["listeners[0].proxy_protocol.from[1]: expected \"unix\" on a Unix socket, found \"127.0.0.1\""]
    );
    assert_eq!(
        unix(r#""access": { "allow": ["unix"] }"#),
        [
            "listeners[0].access: expected with proxy_protocol only; without it, allow_users says who may connect to a Unix socket"
        ]
    );
    let tcp = told(r#""proxy_protocol": { "from": ["::1", "unix"] }, "access": { "deny": ["unix"] }"#);
    let place = ["proxy_protocol.from[1]", "access.deny[0]"];
    assert_eq!(tcp, place.map(|place| format!("{place}: expected a network on a TCP listener, found \"unix\"")));
}
