//! Stopping: requests that have arrived are answered, requests that have begun may finish in time, then the server
//! ends.

use std::net::UdpSocket;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reactor::protocol::{CloseReason, Context, DatagramProtocol, Dropped, Job, Reply, Step, StreamProtocol};
use reactor::{Config, Reactor, Registry, Stopped, Turn};
use serde_json::{Value, json};

use crate::support::{
    Client, PATIENCE, Process, Scratch, Server, eventually, every_protocol, listener, listener_with, loopback, server,
};

/// A connection between two requests: its end shows that the server has begun to stop.
struct Witness(Client);

impl Witness {
    fn of(address: std::net::SocketAddr) -> Self {
        let mut client = Client::connect(address);
        client.ask("here\n", "HERE\n");
        Self(client)
    }

    #[track_caller]
    fn sees_the_stop(mut self) {
        assert_eq!(self.0.rest(), b"");
    }
}

fn with_files(directory: &Scratch, shutdown_timeout: &str) -> Value {
    json!({ "listeners": every_protocol(directory), "shutdown_timeout": shutdown_timeout })
}

/// A client that has sent half of a file.
fn upload_in_the_middle(address: std::net::SocketAddr, name: &str) -> Client {
    let mut client = Client::connect(address);
    client.ask(format!("{name}\n200000\n"), "OK\nOK\n");
    client.send(vec![b'1'; 100_000]);
    client
}

#[test]
fn connections_in_the_accept_queue_are_served() {
    let (server, address) = loopback("sum");
    let mut clients: Vec<_> = (0..100).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(r#"{"A":7,"B":4}"#);
    }
    server.handle().stop();
    for client in &mut clients {
        assert_eq!(client.rest(), b"{\"Sum\":11}\n");
    }
    drop(clients);
    assert_eq!(server.join("sum-tcp").accepted, 100);
}

#[test]
fn clients_that_wait_for_a_free_place_are_served_too() {
    let limits = json!({ "limits": { "max_connections": 2 } });
    let server = server(&json!({ "listeners": [listener_with("sum", &limits)] }));
    let address = server.address("sum-tcp");
    let mut clients: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(r#"{"A":7,"B":4}"#);
    }
    server.handle().stop();
    for mut client in clients {
        assert_eq!(client.rest(), b"{\"Sum\":11}\n");
    }
    assert_eq!(server.join("sum-tcp").accepted, 20);
}

#[test]
fn a_request_in_flight_is_finished_and_answered() {
    let server = server(&json!({ "listeners": [listener("sum", "tcp"), listener("uppercase", "tcp")] }));
    let witness = Witness::of(server.address("uppercase-tcp"));
    let mut client = Client::connect(server.address("sum-tcp"));
    client.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    server.handle().stop();
    witness.sees_the_stop();
    client.send(r#""B":2}"#);
    assert_eq!(client.rest(), b"{\"Sum\":3}\n");
    drop(client);
    assert_eq!(server.join("sum-tcp").closed.count("shutdown"), 1);
}

#[test]
fn an_upload_in_the_middle_is_finished_and_its_file_is_complete() {
    let directory = Scratch::new();
    let server = server(&with_files(&directory, "30s"));
    let witness = Witness::of(server.address("uppercase-tcp"));
    let mut client = upload_in_the_middle(server.address("file-sized-tcp"), "whole");
    server.handle().stop();
    witness.sees_the_stop();
    client.send(vec![b'1'; 100_000]);
    assert_eq!(client.rest(), b"OK\n");
    drop(client);
    server.join("file-sized-tcp");
    assert_eq!(directory.names(), ["whole"]);
    assert!(directory.contents("whole") == vec![b'1'; 200_000]);
}

#[test]
fn an_upload_with_only_its_name_confirmed_is_finished() {
    let directory = Scratch::new();
    let server = server(&with_files(&directory, "30s"));
    let witness = Witness::of(server.address("uppercase-tcp"));
    let mut named = Client::connect(server.address("file-sized-tcp"));
    named.ask("whole\n", "OK\n");
    let mut between = Client::connect(server.address("file-sized-tcp"));
    between.ask("first\n1\nx", "OK\nOK\nOK\n");
    server.handle().stop();
    witness.sees_the_stop();
    assert_eq!(between.rest(), b"", "no other file was begun");
    named.ask("5\nhello", "OK\nOK\n");
    assert_eq!(named.rest(), b"");
    drop((named, between));
    server.join("file-sized-tcp");
    assert_eq!(directory.names(), ["first", "whole"]);
    assert_eq!(directory.contents("whole"), b"hello");
}

#[test]
fn an_upload_that_does_not_end_is_cut_at_the_timeout_and_leaves_nothing() {
    let directory = Scratch::new();
    let server = server(&with_files(&directory, "300ms"));
    let mut client = upload_in_the_middle(server.address("file-sized-tcp"), "partial");
    let start = Instant::now();
    server.handle().stop();
    assert!(client.try_rest().is_err(), "a FIN, as after success");
    server.join("file-sized-tcp");
    assert!((Duration::from_millis(270)..Duration::from_secs(5)).contains(&start.elapsed()));
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn what_is_held_back_is_passed_on_at_the_end() {
    let (server, address) = loopback("uppercase");
    let mut client = Client::connect(address);
    client.ask("ab\nexi", "AB\n");
    server.handle().stop();
    assert_eq!(client.rest(), b"EXI");
}

#[test]
fn no_connection_is_accepted_after_the_stop() {
    // A separate address, so that no other test gets the port in the meantime.
    let own = json!({ "listen": "tcp://127.77.0.1:0" });
    let server = server(&json!({ "listeners": [listener_with("uppercase", &own)] }));
    let address = server.address("uppercase-tcp");
    let witness = Witness::of(address);
    server.handle().stop();
    witness.sees_the_stop();
    server.join("uppercase-tcp");
    assert!(std::net::TcpStream::connect(address).is_err());
}

fn command(directory: &Scratch, shutdown_timeout: &str) -> (Process, Witness, Client) {
    let process = Process::start(&with_files(directory, shutdown_timeout));
    let witness = Witness::of(process.address("uppercase-tcp"));
    let upload = upload_in_the_middle(process.address("file-sized-tcp"), "file");
    (process, witness, upload)
}

#[test]
fn sigterm_ends_the_command_with_exit_code_0_and_no_partial_file() {
    let directory = Scratch::new();
    let (process, witness, mut upload) = command(&directory, "300ms");
    process.signal(Signal::SIGTERM);
    witness.sees_the_stop();
    assert!(upload.try_rest().is_err());
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("accepted 1, open 0, closed 1 (shutdown 1)"), "{log}");
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn sigint_lets_an_upload_finish_and_ends_the_command_with_exit_code_0() {
    let directory = Scratch::new();
    let (process, witness, mut upload) = command(&directory, "30s");
    process.signal(Signal::SIGINT);
    witness.sees_the_stop();
    upload.send(vec![b'1'; 100_000]);
    assert_eq!(upload.rest(), b"OK\n");
    drop(upload);
    assert_eq!(process.wait().0.code(), Some(0));
    assert_eq!(directory.names(), ["file"]);
}

#[test]
fn a_second_signal_ends_the_command_at_once_with_exit_code_1() {
    let directory = Scratch::new();
    let (process, witness, mut upload) = command(&directory, "10m");
    process.signal(Signal::SIGTERM);
    witness.sees_the_stop();
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(upload.try_rest().is_err());
    assert_eq!(directory.names(), [""; 0]);
}

#[test]
fn the_handle_outlives_its_server() {
    let (server, _) = loopback("uppercase");
    let handle = server.handle().clone();
    drop(server);
    handle.stop();
    handle.abort();
}

/// A shell ignores SIGINT for what a script starts with `&`, and a program inherits that.
#[test]
#[cfg(target_os = "linux")]
fn a_sigint_that_is_ignored_from_the_start_stays_ignored() {
    let shell = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"];
    let process = Process::under(&shell, &json!({ "listeners": [listener("uppercase", "tcp")] }));
    process.signal(Signal::SIGINT);
    // Signals arrive in the order of their numbers, so the server has seen the first when it logs its counters.
    assert_eq!(process.counter("uppercase-tcp", "open"), 0);
    Client::connect(process.address("uppercase-tcp")).ask("a\n", "A\n");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().0.code(), Some(0), "and a signal that is not ignored ends it gracefully");
}

/// Sends each datagram to the port that it names, the server's own: there is always one more.
struct Perpetual(UdpSocket);

impl DatagramProtocol for Perpetual {
    fn on_datagram(&mut self, payload: &[u8], _: &mut Context<'_>) -> Result<(), Dropped> {
        let port: u16 = str::from_utf8(payload).unwrap().parse().unwrap();
        self.0.send_to(payload, ("127.0.0.1", port)).unwrap();
        Ok(())
    }
}

#[test]
fn datagrams_that_never_end_are_answered_for_a_while_and_delay_no_stop() {
    let mut registry = Registry::built_in();
    let example = "echo 7000 | nc -u 127.0.0.1 7000";
    let socket = || Perpetual(UdpSocket::bind("127.0.0.1:0").unwrap());
    registry.datagram_fn("perpetual", "Always has work to do.", example, socket);
    let config = json!({ "listeners": [listener("perpetual", "udp")], "shutdown_timeout": "30s" });
    let server = Server::start(&registry, &config);
    let address = server.address("perpetual-udp");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..32 {
        client.send_to(address.port().to_string().as_bytes(), address).unwrap();
    }
    eventually("they circulate", || server.stats("perpetual-udp").received_datagrams > 1000);
    let before = server.stats("perpetual-udp").received_datagrams;
    server.handle().stop();
    let stats = server.join("perpetual-udp");
    // 256 more visits, of 64 datagrams each; and a moment passes between the two looks at the counters and the stop.
    let after = stats.received_datagrams - before;
    assert!(after < 4 * 256 * 64, "{after} more: it was cut in the end");
    assert_eq!(stats.received_datagrams, stats.refused.count("no answer"));
}

/// Leaves a last job, and reports when it runs.
struct Leaver {
    work: Option<Box<dyn FnOnce() + Send>>,
    left: mpsc::Sender<()>,
}

impl StreamProtocol for Leaver {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::finish())
    }

    fn on_close(&mut self, _: CloseReason) -> Option<Job> {
        self.left.send(()).unwrap();
        self.work.take().map(Job::new)
    }
}

#[test]
fn a_last_job_that_is_done_while_a_stop_begins_is_not_awaited_any_more() {
    let (left, has_left) = mpsc::channel();
    let (stop, is_to_stop) = mpsc::channel::<reactor::Handle>();
    let (begin, has_begun) = mpsc::channel();
    // There is one worker, so the result of the first job is there when the second begins.
    let first: Box<dyn FnOnce() + Send> = Box::new(move || is_to_stop.recv().unwrap().stop());
    let second: Box<dyn FnOnce() + Send> = Box::new(move || begin.send(()).unwrap());
    let works = Mutex::new(vec![second, first]);
    let mut registry = Registry::empty();
    registry.stream_fn("leaver", "Leaves a last job.", "true", move |_| Leaver {
        work: works.lock().unwrap().pop(),
        left: left.clone(),
    });
    let config = json!({ "listeners": [listener("leaver", "tcp")], "workers": 1, "shutdown_timeout": "10m" });
    let config = Config::parse("leaver.json", &config.to_string(), &registry).unwrap();
    let mut reactor = Reactor::bind(&config, &registry).unwrap();
    for _ in 0..2 {
        drop(Client::connect(reactor.endpoints()[0].address().unwrap()));
        while has_left.try_recv().is_err() {
            assert_eq!(reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
        }
    }

    stop.send(reactor.handle()).unwrap();
    has_begun.recv().unwrap();
    let began = Instant::now();
    while reactor.turn(Some(PATIENCE)).unwrap() != Turn::Stopped(Stopped::Gracefully) {
        assert!(began.elapsed() < PATIENCE, "it waits for a finished job");
    }
}

/// The command with this `shutdown_delay`, after its first signal, and a client that was connected before.
fn leaving(delay: &str) -> (Process, Client) {
    let config = json!({ "listeners": [listener("uppercase", "tcp")], "shutdown_delay": delay });
    let process = Process::start(&config);
    let mut client = Client::connect(process.address("uppercase-tcp"));
    client.ask("before\n", "BEFORE\n");
    process.signal(Signal::SIGTERM);
    eventually("it says so", || process.log().contains("leaving: serving for"));
    (process, client)
}

#[test]
fn a_server_that_leaves_serves_old_and_new_clients_until_a_second_signal() {
    let (process, mut client) = leaving("1h");
    let mut arrival = Client::connect(process.address("uppercase-tcp"));
    arrival.ask("new\n", "NEW\n");
    client.ask("old\n", "OLD\n");
    process.signal(Signal::SIGTERM);
    assert_eq!((client.rest(), arrival.rest()), (vec![], vec![]));
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "the second signal only skipped the delay: {log}");
}

#[test]
fn after_shutdown_delay_the_graceful_stop_begins_by_itself() {
    let (process, mut client) = leaving("200ms");
    assert_eq!(client.rest(), b"");
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("stopping: requests have"), "{log}");
}

#[test]
fn a_server_that_was_asked_to_stop_is_not_ready_although_it_serves() {
    let registry = Registry::built_in();
    let config = json!({ "listeners": [listener("uppercase", "tcp")], "shutdown_delay": "1h" });
    let config = Config::parse("test.json", &config.to_string(), &registry).unwrap();
    let mut reactor = Reactor::bind(&config, &registry).unwrap();
    reactor.turn(Some(Duration::ZERO)).unwrap();
    assert!(reactor.is_ready());
    reactor.handle().stop();
    while reactor.is_ready() {
        assert_eq!(reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
    }
    let mut client = Client::connect(reactor.endpoints()[0].address().unwrap());
    client.send("hello\n");
    while !client.has_answer() {
        assert_eq!(reactor.turn(Some(PATIENCE)).unwrap(), Turn::Running);
    }
    client.expect("HELLO\n");
}

#[test]
fn a_third_signal_ends_a_leaving_server_in_the_middle_of_a_request() {
    let config = json!({ "listeners": [listener("sum", "tcp")], "shutdown_delay": "1h", "shutdown_timeout": "1h" });
    let process = Process::start(&config);
    let mut client = Client::connect(process.address("sum-tcp"));
    client.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    for said in ["leaving: serving for", "stopping: requests have"] {
        process.signal(Signal::SIGTERM);
        eventually("it says so", || process.log().contains(said));
    }
    process.signal(Signal::SIGTERM);
    client.try_rest().unwrap_err();
    assert_eq!(process.wait().0.code(), Some(1));
}
