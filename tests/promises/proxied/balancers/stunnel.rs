//! Behind stunnel: clients speak TLS to it, and it speaks to the server without.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Balancer, found, of_the_book, start};
use crate::proxied::{behind, serving};
use crate::support::{PATIENCE, Process, Scratch, eventually, in_own_network};

/// A client that speaks TLS: `openssl s_client`, whose input and output are a socket with a time limit.
struct Client {
    stream: UnixStream,
    _openssl: Balancer,
}

impl Client {
    /// Connects to a port of this network from an address and port of the caller's choice.
    fn connect(from: &str, to: u16) -> Self {
        let (stream, its) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-bind", from, "-connect", &format!("127.0.0.1:{to}")]);
        let [input, output] = [its.try_clone().unwrap(), its].map(OwnedFd::from);
        let openssl = command.stdin(input).stdout(output).stderr(Stdio::null()).spawn().unwrap();
        Self { stream, _openssl: Balancer(openssl) }
    }

    /// Sends a request. Returns the answer; it is empty if there is none before the connection ends.
    fn ask(&mut self, request: &str) -> String {
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 100];
        let count = self.stream.read(&mut answer).unwrap();
        String::from_utf8(answer[..count].to_vec()).unwrap()
    }
}

/// Makes a key and its certificate in one file, which is what the configuration of the book names.
fn certify(openssl: &str, directory: &Scratch) {
    let make = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=sum -days 2 -keyout key.pem -out cert.pem";
    let output = Command::new(openssl).args(make.split(' ')).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let parts = ["key.pem", "cert.pem"].map(|name| fs::read(directory.path().join(name)).unwrap());
    fs::write(directory.path().join("sum.pem"), parts.concat()).unwrap();
}

/// Starts stunnel with a configuration that has its certificate in `/etc/stunnel`; `None` if a program is missing.
fn stunnel(config: &str, directory: &Scratch) -> Option<Balancer> {
    certify(&found("openssl")?, directory);
    assert!(config.contains("/etc/stunnel/"), "{config}");
    let config = config.replace("/etc/stunnel", directory.path().to_str().unwrap());
    // What a test needs beside the configuration: no background, and no file with its process number.
    start("stunnel", &[], &format!("foreground = yes\npid =\n{config}"), directory)
}

fn listens(port: u16) {
    eventually("stunnel listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
}

const STUNNEL: &str = "
cert = /etc/stunnel/sum.pem
[one]
accept = 127.0.0.1:7001
connect = SERVER
protocol = proxy
[two]
accept = 127.0.0.1:7002
connect = SERVER
protocol = proxy
";

#[test]
fn behind_stunnel_the_peer_is_the_client_that_speaks_tls() {
    if !in_own_network("proxied::balancers::stunnel::behind_stunnel_the_peer_is_the_client_that_speaks_tls") {
        return;
    }
    let directory = Scratch::new();
    let server = serving(&behind(&json!({ "limits": { "max_connections_per_ip": 1 } })));
    let config = STUNNEL.replace("SERVER", &server.address("who-tcp").to_string());
    let Some(_stunnel) = stunnel(&config, &directory) else { return };
    listens(7001);
    listens(7002);
    let come = |from: &str, port| {
        let mut client = Client::connect(from, port);
        let answer = client.ask("?");
        (client, answer)
    };
    let clients = ["127.0.0.5:6001", "127.0.0.6:6001"].map(|from| {
        let (client, told) = come(from, 7001);
        assert!(told.starts_with(&format!("{from} via 127.0.0.1:")), "{told}");
        client
    });
    // The limit counts clients, through whichever door they come.
    assert_eq!(come("127.0.0.5:6002", 7002).1, "");
    drop(clients);
    eventually("they are closed", || server.stats("who-tcp").closed.total() == 2);
    assert!(come("127.0.0.5:6003", 7002).1.starts_with("127.0.0.5:6003 via "));
    // Those that have connected to stunnel and spoken no TLS never come here.
    let refused = server.stats("who-tcp").refused;
    assert_eq!(refused.to_string(), "1 (max_connections_per_ip 1)");
}

#[test]
fn the_configuration_of_the_book_names_each_client_that_speaks_tls() {
    if !in_own_network("proxied::balancers::stunnel::the_configuration_of_the_book_names_each_client_that_speaks_tls") {
        return;
    }
    let directory = Scratch::new();
    let config = of_the_book(include_str!("../../../../examples/service/behind.json"), &directory);
    fs::write(directory.path().join("behind.json"), config).unwrap();
    let (own, config) = (Scratch::new(), include_str!("../../../../examples/service/behind-stunnel.conf"));
    let Some(_stunnel) = stunnel(&of_the_book(config, &directory), &own) else { return };
    let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
    command.args(["-c", "behind.json"]);
    let server = Process::of(command, directory);
    for (port, proxy) in [(5656, "127.0.0.1:"), (5657, "unix:")] {
        listens(port);
        let from = format!("127.0.0.5:{}", port + 1000);
        let mut client = Client::connect(&from, port);
        assert_eq!(client.ask(r#"{"A":7,"B":4}"#), "{\"Sum\":11}\n");
        drop(client);
        let is_line = |line: &str| line.contains(&format!("peer={from} ")) && line.contains(&format!(" proxy={proxy}"));
        eventually("it has its line", || server.log().lines().any(is_line));
    }
}
