//! The other side: outgoing connections, and relays between a client and another server.

mod connect;
mod join;
mod options;
#[cfg(target_os = "linux")]
mod program;

use std::net::{SocketAddr, TcpListener, TcpStream};

use reactor::Registry;
use reactor::protocol::{ConnectError, ConnectionId, Context, Event, Reply, Step, StreamProtocol, Target, Within};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Server, listener_with};

/// Connects to the target as soon as a client is there, and relays.
struct Front(Option<Target>);

impl StreamProtocol for Front {
    fn on_open(&mut self, _: &mut Context<'_>) -> Reply {
        Ok(Step::connect(self.0.take().unwrap(), |_| Behind, Self::connected))
    }

    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }

    fn on_event(&mut self, event: Event, _: &[u8], cx: &mut Context<'_>) -> Reply {
        if matches!(event, Event::NoRelay) {
            cx.out.extend_from_slice(b"no relay");
        }
        Ok(Step::finish())
    }
}

impl Front {
    fn connected(&mut self, to: Result<ConnectionId, ConnectError>, _: &[u8], cx: &mut Context<'_>) -> Reply {
        match to {
            Ok(other) => Ok(Step::relay(other)),
            Err(error) => {
                cx.out.extend_from_slice(error.to_string().as_bytes());
                Ok(Step::finish())
            }
        }
    }
}

/// The protocol of the outgoing connection, which leaves everything to the relay.
struct Behind;

impl StreamProtocol for Behind {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }
}

/// A server that relays each client to `target`, with `limits`.
fn relay(target: Target, limits: &Value) -> Server {
    let mut registry = Registry::empty();
    registry.stream_fn("relay", "Relays.", "true", move |_| Front(Some(target.clone())));
    Server::start(&registry, &json!({ "listeners": [listener_with("relay", &json!({ "limits": limits }))] }))
}

fn client(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address("relay-tcp")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A listener on a free port.
fn other_server() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Accepts the outgoing connection.
fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}
