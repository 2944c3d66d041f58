//! Behind real balancers: HAProxy, nginx and stunnel, in a network of the test's own.

mod stunnel;

use std::fs;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{behind, connect_from, is_refused, serving};
use crate::support::{PATIENCE, Process, Scratch, eventually, in_own_network};

/// A balancer, which ends with the test.
struct Balancer(Child);

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Finds a program; `None` if it is not installed, which is an error with `CI` set.
fn found(program: &str) -> Option<String> {
    let paths = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"].map(|path| format!("{path}/{program}"));
    let found = paths.into_iter().find(|path| fs::exists(path).unwrap());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
        eprintln!("SKIPPED: {program} is not installed, so this test did nothing");
    }
    found
}

/// Starts a balancer with a configuration; `None` if it is not installed.
fn start(program: &str, arguments: &[&str], config: &str, directory: &Scratch) -> Option<Balancer> {
    let file = directory.path().join("balancer.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(found(program)?);
    Some(Balancer(command.args(arguments).arg(&file).stdin(Stdio::null()).spawn().unwrap()))
}

/// Waits until the balancer listens at this port, and then asks through it from two addresses.
fn clients_come_through(port: u16) {
    let front = ([127, 0, 0, 1], port).into();
    eventually("the balancer listens", || std::net::TcpStream::connect(front).is_ok());
    for ip in [[127, 0, 0, 5], [127, 0, 0, 6]] {
        let mut client = connect_from(ip, front);
        let itself = client.stream().local_addr().unwrap();
        client.send("?");
        let told = String::from_utf8(client.read_once(100)).unwrap();
        assert!(told.starts_with(&format!("{itself} via 127.0.0.1:")), "{told}");
        // Once the server has closed it, it no longer counts.
        let _ = client.try_rest_after_fin();
    }
}

const HAPROXY: &str = "
defaults
    mode tcp
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen version-1
    bind 127.0.0.1:7001
    server one SERVER send-proxy check inter 50ms
listen version-2
    bind 127.0.0.1:7002
    server two SERVER send-proxy-v2 check inter 50ms
listen more-records
    bind 127.0.0.1:7003
    unique-id-format %[uuid]
    server three SERVER send-proxy-v2 proxy-v2-options crc32c,unique-id
";

#[test]
fn behind_haproxy_the_peer_is_the_client_and_checks_are_served() {
    if !in_own_network("proxied::balancers::behind_haproxy_the_peer_is_the_client_and_checks_are_served") {
        return;
    }
    let directory = Scratch::new();
    let server = serving(&behind(&json!({ "limits": { "max_connections_per_ip": 1 } })));
    let config = HAPROXY.replace("SERVER", &server.address("who-tcp").to_string());
    let Some(_haproxy) = start("haproxy", &["-db", "-f"], &config, &directory) else { return };
    for port in [7001, 7002, 7003] {
        clients_come_through(port);
    }
    // The limit counts clients: the third connection of one is refused, through whichever door it comes.
    let mut stays = connect_from([127, 0, 0, 5], ([127, 0, 0, 1], 7001).into());
    stays.send("?");
    assert!(!stays.read_once(100).is_empty());
    let mut second = connect_from([127, 0, 0, 5], ([127, 0, 0, 1], 7002).into());
    assert!(is_refused(&mut second));
    // Checks come with a header of their own, in which the proxy speaks for itself. (A check without one never gets here: HAProxy
    // resets it before the handshake of TCP is complete.)
    let accepted = server.stats("who-tcp").accepted;
    eventually("checks come", || server.stats("who-tcp").accepted >= accepted + 3);
    let refused = server.stats("who-tcp").refused;
    assert_eq!((refused.count("proxy header"), refused.count("opening timeout")), (0, 0), "{refused}");
}

/// What a test needs beside the configuration: the module of Debian, and nothing that is outside of `directory`.
fn of_nginx(directory: &Scratch) -> String {
    let directory = directory.path().display();
    format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so; daemon off; master_process off; pid {directory}/nginx.pid; error_log {directory}/error.log;"
    )
}

const NGINX: &str = "
events {}
stream {
    server {
        listen 127.0.0.1:7001;
        proxy_pass SERVER;
        proxy_protocol on;
    }
}
";

#[test]
fn behind_nginx_the_peer_is_the_client() {
    if !in_own_network("proxied::balancers::behind_nginx_the_peer_is_the_client") {
        return;
    }
    let directory = Scratch::new();
    let server = serving(&behind(&json!({})));
    let config = NGINX.replace("SERVER", &server.address("who-tcp").to_string());
    let Some(_nginx) = start("nginx", &["-g", &of_nginx(&directory), "-c"], &config, &directory) else { return };
    clients_come_through(7001);
    assert!(server.stats("who-tcp").refused.count("proxy header") == 0, "{}", server.stats("who-tcp").refused);
}

/// A file of the book, with `/run/reactor` in a directory of the test.
fn of_the_book(text: &str, directory: &Scratch) -> String {
    assert!(text.contains("/run/reactor"), "{text}");
    text.replace("/run/reactor", directory.path().to_str().unwrap())
}

/// Asks for a sum at the doors of a balancer, and finds client and balancer in the access log.
fn each_client_is_named(server: &Process) {
    for (port, proxy) in [(5656, "127.0.0.1:"), (5657, "unix:")] {
        let front = ([127, 0, 0, 1], port).into();
        eventually("the balancer listens", || std::net::TcpStream::connect(front).is_ok());
        let mut client = connect_from([127, 0, 0, 5], front);
        let peer = format!("peer={} ", client.stream().local_addr().unwrap());
        client.stream().set_read_timeout(Some(PATIENCE)).unwrap();
        client.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
        drop(client);
        let is_line = |line: &str| line.contains(&peer) && line.contains(&format!(" proxy={proxy}"));
        eventually("it has its line", || server.log().lines().any(is_line));
    }
}

/// Waits for checks of HAProxy, which the server accepts, and finds no line of them in the access log: none without a client.
fn checks_have_no_line(server: &Process) {
    let log = || server.log().lines().filter(|line| line.contains(" reactor::access] ")).map(str::to_owned).collect();
    let before: Vec<String> = log();
    let clients = before.iter().filter(|line| line.contains(" listener=sum ")).count() as u64;
    eventually("checks come", || server.counter("sum", "closed") >= clients + 2);
    let lines: Vec<String> = log();
    assert!(lines.iter().all(|line| line.contains(" proxy=")), "{lines:#?}");
}

#[test]
fn the_configurations_of_the_book_name_each_client() {
    if !in_own_network("proxied::balancers::the_configurations_of_the_book_name_each_client") {
        return;
    }
    let directory = Scratch::new();
    let config = of_the_book(include_str!("../../../examples/service/behind.json"), &directory);
    fs::write(directory.path().join("behind.json"), config).unwrap();
    let balancers = Scratch::new();
    let haproxy = of_the_book(include_str!("../../../examples/service/behind-haproxy.cfg"), &directory);
    let nginx = of_the_book(include_str!("../../../examples/service/behind-nginx.conf"), &directory);
    let mut command = Command::new(env!("CARGO_BIN_EXE_reactor"));
    command.args(["-c", "behind.json"]);
    let server = Process::of(command, directory);
    for (program, arguments, config) in
        [("haproxy", &["-db", "-f"][..], haproxy), ("nginx", &["-g", &of_nginx(&balancers), "-c"][..], nginx)]
    {
        let Some(_balancer) = start(program, arguments, &config, &balancers) else { return };
        each_client_is_named(&server);
        if program == "haproxy" {
            checks_have_no_line(&server);
        }
    }
}
