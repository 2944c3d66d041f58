//! Unix sockets: a proxy on the same machine, and rates that count users.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use reactor::proxy::Header;
use serde_json::{Value, json};

use super::header;
use crate::support::{PATIENCE, Process, Scratch};

const ANSWER: &str = "{\"Sum\":11}\n";

/// A server of `sum` at a path, with more members.
fn serving(directory: &Scratch, members: &Value) -> Process {
    let path = directory.path().join("sum.sock");
    let mut listener = json!({ "name": "sum", "listen": format!("unix://{}", path.display()), "protocol": "sum" });
    for (name, value) in members.as_object().unwrap() {
        listener[name] = value.clone();
    }
    let tcp = json!({ "name": "tcp", "listen": "tcp://127.0.0.1:0", "protocol": "time" });
    Process::start(&json!({ "listeners": [listener, tcp] }))
}

/// Connects, sends `first` and a request. Returns the connection, and the answer; it is empty if the connection was refused.
fn come(directory: &Scratch, first: &[u8]) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(directory.path().join("sum.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may have been refused before it has read this.
    let _ = stream.write_all(&[first, br#"{"A":7,"B":4}"#].concat());
    let mut answer = [0; 100];
    let count = stream.read(&mut answer).unwrap_or(0);
    (stream, String::from_utf8(answer[..count].to_vec()).unwrap())
}

#[test]
fn over_a_unix_socket_the_client_of_the_header_is_the_peer() {
    let directory = Scratch::new();
    let members = json!({
        "proxy_protocol": { "from": ["unix"] },
        "access": { "allow": ["192.0.2.0/24", "unix"] },
        "limits": { "max_connections_per_ip": 1 }
    });
    let server = serving(&directory, &members);
    let come = |header: &Header| come(&directory, &header.version_2());
    let served = [header("192.0.2.7:1"), header("192.0.2.8:1"), Header::Local].map(|client| {
        let (stream, answer) = come(&client);
        assert_eq!(answer, ANSWER, "{client:?}");
        stream
    });
    for client in [header("192.0.2.7:2"), header("198.51.100.1:1"), Header::Unknown] {
        assert_eq!(come(&client).1, "", "{client:?}");
    }
    assert_eq!(server.counter("sum", "access"), 1);
    assert_eq!(server.counter("sum", "max_connections_per_ip"), 2, "a client, and the user of the proxy");
    drop(served);
}

#[test]
fn allow_users_means_the_proxy_and_not_its_client() {
    let directory = Scratch::new();
    let me = nix::unistd::getuid().as_raw();
    let server =
        serving(&directory, &json!({ "proxy_protocol": { "from": ["unix"] }, "allow_users": [(me + 1).to_string()] }));
    assert_eq!(come(&directory, &header("192.0.2.7:1").version_1()).1, "");
    assert_eq!(server.counter("sum", "allow_users"), 1);
}

#[test]
fn a_rate_counts_the_users_of_a_unix_socket() {
    let directory = Scratch::new();
    let server = serving(&directory, &json!({ "limits": { "connection_rate_per_ip": "2/h" } }));
    let answers = [(); 3].map(|()| come(&directory, b"").1);
    assert_eq!(answers, [ANSWER, ANSWER, ""]);
    assert_eq!(server.counter("sum", "connection_rate_per_ip"), 1);
}
