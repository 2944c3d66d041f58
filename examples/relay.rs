//! A protocol that relays each client to another server: to the first of several targets that can be connected to.
//!
//! ```text
//! cat > relay.json <<'END'
//! { "listeners": [{ "listen": "tcp://127.0.0.1:9006", "protocol": "relay",
//!                   "options": { "targets": ["127.0.0.1:1", "localhost:5656"], "connect_timeout": "3s" } }] }
//! END
//! cargo run --example relay -- -c relay.json
//! echo '{"A":7,"B":4}' | nc -N 127.0.0.1 9006    # the answer of the server at port 5656
//! ```
//!
//! With `"proxy_protocol": "v2"` among its options, it tells the server first who its client is. It connects only to its targets,
//! whatever a client sends. A client or a server that does not read costs
//! `max_pending_output` and no more.

use std::process::ExitCode;

use reactor::Registry;
use reactor::protocol::{
    Acceptor, ConnectError, ConnectionId, Context, ProtocolError, Reply, Setup, SetupError, Step, StreamProtocol,
    Target, Within,
};
use reactor::proxy::Header;
use reactor::schemars::JsonSchema;
use reactor::serde::{Deserialize, Serialize};
use reactor::units::Span;

const ABOUT: &str = "Relays each client to the first target that answers.";
const TRY: &str = "nc 127.0.0.1 9006";

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "reactor::serde", default, deny_unknown_fields)]
#[schemars(crate = "reactor::schemars")]
struct Options {
    /// Addresses or names, each with a port, in the order in which they are tried.
    targets: Vec<String>,
    /// The time to connect, for all targets together.
    connect_timeout: Option<Span>,
    /// The version of the PROXY header that names the client; none if left out.
    proxy_protocol: Option<Version>,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "reactor::serde", rename_all = "lowercase")]
#[schemars(crate = "reactor::schemars")]
enum Version {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

impl Version {
    /// Returns the header for the client of a connection.
    fn header(self, cx: &Context<'_>) -> Vec<u8> {
        let header = match (cx.peer().address(), cx.local_address()) {
            (Some(source), Some(destination)) => Header::of(source, destination),
            _ => Header::Unknown,
        };
        match self {
            Self::V1 => header.version_1(),
            Self::V2 => header.version_2(),
        }
    }
}

/// The protocol of a client, until it is joined with a server.
struct Client {
    target: Target,
    version: Option<Version>,
}

impl StreamProtocol for Client {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        let header = self.version.map(|version| version.header(cx)).unwrap_or_default();
        Ok(Step::connect(self.target.clone(), |_| Server { header }, Self::join))
    }

    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

impl Client {
    fn join(&mut self, server: Result<ConnectionId, ConnectError>, _: &[u8], _: &mut Context<'_>) -> Reply {
        server.map(Step::relay).map_err(|_| ProtocolError::new("no server", ""))
    }
}

/// The protocol of the connection to a server: the relay passes on whatever it leaves unconsumed.
struct Server {
    /// What the server gets first.
    header: Vec<u8>,
}

impl StreamProtocol for Server {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        cx.out.extend_from_slice(&self.header);
        Ok(Step::wait(Within::Body))
    }

    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

fn open(options: Options, _: &Setup<'_>) -> Result<Acceptor, SetupError> {
    let bad = |target: &str, why: &dyn std::fmt::Display| SetupError::Other(format!("targets: {target:?}: {why}"));
    let parsed = options.targets.iter().map(|text| text.parse::<Target>().map_err(|error| bad(text, &error)));
    let mut target = parsed.collect::<Result<Target, _>>()?;
    if options.targets.is_empty() {
        return Err(bad("", &"expected at least one"));
    }
    if let Some(time) = options.connect_timeout {
        target = target.within(time.as_std());
    }
    Ok(Acceptor::new(move |_| Client { target: target.clone(), version: options.proxy_protocol }))
}

fn main() -> ExitCode {
    let mut registry = Registry::built_in();
    registry.stream_with("relay", ABOUT, TRY, open);
    reactor::command(registry)
}

#[cfg(test)]
mod tests {
    use reactor::protocol::CloseReason;
    use reactor::testing::{Script, converse};

    use super::*;

    fn client() -> Client {
        Client { target: "127.0.0.1:5656".parse().expect("a target"), version: None }
    }

    #[test]
    fn a_client_is_joined_with_the_server() {
        let transcript = converse(client(), &Script::new().connected(7).send("hello"));
        assert_eq!(transcript.relayed.map(|server| server.to_string()), Some("7.1".to_owned()));
    }

    #[test]
    fn a_client_without_a_server_is_closed_and_counted() {
        let transcript = converse(client(), &Script::new().not_connected(ConnectError::TimedOut).fin());
        assert_eq!((&transcript.sent[..], transcript.reason), (&b""[..], CloseReason::Refused("no server")));
    }
}
