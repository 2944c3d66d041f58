//! What a configuration may have, and an administrator should know.

use std::net::IpAddr;

use super::{Config, ListenerConfig};

/// The protocol that shows an administrator what the server does.
const SHOWS_THE_SERVER: &str = "admin";

impl Config {
    /// Returns a sentence for each listener that shows this server to other machines.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let shown = self.listeners.iter().filter(|listener| shows_the_server_to_others(listener));
        let warning = |ListenerConfig { name, listen, protocol, .. }: &ListenerConfig| {
            format!(
                "{name}: other machines may reach {listen}, where {protocol} shows counters, connections and the configuration"
            )
        };
        shown.map(warning).collect()
    }
}

/// Whether the protocol shows the server, and the address is not of this machine only. A name other than `localhost` may be any
/// address.
fn shows_the_server_to_others(listener: &ListenerConfig) -> bool {
    let is_local = listener.listen.host.as_deref().is_some_and(|host| {
        host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    });
    listener.protocol == SHOWS_THE_SERVER && !is_local && listener.listen.unix.is_none()
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use super::*;
    use crate::registry::Registry;

    #[test]
    fn an_admin_listener_beyond_loopback_is_warned_of() {
        let warnings = |listen: &str| {
            let mut config = Config::without_listeners();
            config.add_listener(listen, &Registry::built_in()).unwrap();
            config.warnings()
        };
        assert_eq!(warnings("admin=unix:///run/admin.sock"), [""; 0]);
        for local in ["127.0.0.1", "127.8.9.1", "[::1]", "localhost", "LocalHost"] {
            assert_eq!(warnings(&format!("admin=tcp://{local}:9901")), [""; 0], "{local}");
        }
        for other in ["", "0.0.0.0", "192.0.2.1", "[::]", "[2001:db8::1]", "example.com"] {
            let warnings = warnings(&format!("admin=tcp://{other}:9901"));
            assert!(
                matches!(&warnings[..], [one] if one.starts_with("admin-tcp: other machines may reach tcp://")),
                "{other}"
            );
        }
        assert_eq!(warnings("sum=tcp://:5656"), [""; 0]);
    }
}
