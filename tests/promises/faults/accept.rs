//! A: accepting, and running out of descriptors.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::{
    Client, Fault, PATIENCE, Process, SUM, Trial, assert_rest, eventually, faults_work, listener, listener_with,
    number_after,
};

const CLIENTS: usize = 50;

fn sum() -> [Value; 1] {
    [listener("sum", "tcp")]
}

/// `count` clients that have sent a request; they may still be in the accept queue.
fn askers(address: SocketAddr, count: usize) -> Vec<Client> {
    let ask = |_| {
        let mut client = Client::connect(address);
        client.send(SUM.0);
        client
    };
    (0..count).map(ask).collect()
}

#[test]
fn case_01_running_out_of_descriptors_neither_stops_nor_stalls_nor_spins() {
    let trial = Trial::start(&sum());
    // Below the limit that the server knows, so that the kernel refuses.
    let limit = format!("--nofile={0}:{0}", trial.descriptors() + 5);
    assert!(Command::new("prlimit").args(["--pid", &trial.id().to_string(), &limit]).status().unwrap().success());
    let mut clients = askers(trial.address("sum-tcp"), CLIENTS);
    for client in &mut clients[..5] {
        client.expect(SUM.1);
    }
    eventually("it is out of descriptors", || trial.log().contains("accepting is paused: Too many open files"));
    // From here on no new connection causes an event: only connections that close resume accepting.
    for mut client in clients.split_off(5) {
        drop(clients.pop());
        client.expect(SUM.1);
        clients.push(client);
    }
    drop(clients);
    let process = trial.end();
    assert!(process.log().matches("accepting is paused").count() <= 20, "{}", process.log());
}

/// Every second accept fails with `errno`, while clients connect and are served.
fn survives_errors_of_accept(errno: &str, is_told: bool) {
    let trial = Trial::start(&sum());
    let fault = Fault::on(&trial, &[&format!("accept4:error={errno}:when=1+2")]);
    for _ in 0..3 {
        for mut client in askers(trial.address("sum-tcp"), 2) {
            client.expect(SUM.1);
        }
    }
    drop(fault);
    let process = trial.end();
    assert_eq!(process.log().contains("accepting is paused"), is_told, "{errno}: {}", process.log());
}

#[test]
fn case_02_out_of_a_system_resource_accepting_pauses_and_resumes() {
    if !faults_work() {
        return;
    }
    for errno in ["ENFILE", "ENOBUFS", "ENOMEM"] {
        survives_errors_of_accept(errno, true);
    }
}

#[test]
fn case_03_an_error_of_accept_delays_no_other_client_and_ends_nothing() {
    if !faults_work() {
        return;
    }
    for errno in ["ECONNABORTED", "EPROTO", "ENETDOWN", "EHOSTUNREACH", "EOPNOTSUPP", "EPERM", "EINTR"] {
        survives_errors_of_accept(errno, false);
    }
    for errno in ["EBADF", "ENOTSOCK", "ENXIO"] {
        survives_errors_of_accept(errno, true);
    }
}

#[test]
fn endless_errors_of_accept_are_logged_and_do_not_spin() {
    if !faults_work() {
        return;
    }
    for errno in ["EPERM", "ENETDOWN", "ECONNABORTED"] {
        let trial = Trial::start(&sum());
        let fault = Fault::on(&trial, &[&format!("accept4:error={errno}")]);
        let mut waiting = askers(trial.address("sum-tcp"), 1);
        eventually("it is logged", || trial.log().matches("sum-tcp: accepting is paused").count() > 2);
        let counters = trial.counters();
        let counters = counters.iter().find(|line| line.contains("sum-tcp ")).unwrap();
        assert!(number_after(counters, "accept paused") > 2, "{counters}");
        assert_eq!(number_after(counters, errno), 64, "{counters}");
        drop(fault);
        waiting[0].expect(SUM.1);
        drop(waiting);
        assert_rest(&trial.end());
    }
}

#[test]
fn a_listener_that_fails_does_not_delay_the_end() {
    if !faults_work() {
        return;
    }
    for errno in ["EPERM", "EINVAL"] {
        let process = Process::start(&json!({ "listeners": sum(), "shutdown_timeout": "1h" }));
        let _fault = Fault::on(&process, &[&format!("accept4:error={errno}")]);
        let _waiting = askers(process.address("sum-tcp"), 1);
        eventually("it is logged", || process.log().contains("sum-tcp: accepting is paused"));
        process.signal(Signal::SIGTERM);
        let (status, log) = process.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("sum-tcp: connections that still wait are not accepted: "), "{log}");
    }
}

#[test]
fn case_04_clients_beyond_max_connections_are_served_when_there_is_room() {
    let ten = listener_with("sum", &json!({ "limits": { "max_connections": 10 } }));
    let trial = Trial::start(&[ten]);
    let mut clients = askers(trial.address("sum-tcp"), CLIENTS);
    for client in &mut clients[..10] {
        client.expect(SUM.1);
    }
    assert_eq!(trial.counter("sum-tcp", "open"), 10);
    let waiting = clients.split_off(10);
    drop(clients);
    let mut served = Vec::new();
    for mut client in waiting {
        client.expect(SUM.1);
        // Ten may stay; before the eleventh is served one of them must close.
        served.push(client);
        if served.len() == 10 {
            served.remove(0);
        }
    }
    drop(served);
    trial.end();
}

#[test]
fn case_05_a_low_descriptor_limit_is_reported_or_prevents_the_start() {
    let trial = Trial::under(&["prlimit", "--nofile=64:64"], &sum());
    eventually("it is logged", || trial.log().contains("file descriptors are left for connections"));
    trial.end();

    let mut hopeless = Command::new("prlimit");
    hopeless.args(["--nofile=14:14", env!("CARGO_BIN_EXE_reactor")]);
    for port in 0..6 {
        hopeless.args(["--listen", &format!("sum=tcp://127.0.0.{}:0", port + 1)]);
    }
    let output = hopeless.output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("the limit of file descriptors is too low: at least "), "{told}");
}

#[test]
fn case_06_clients_that_left_the_accept_queue_are_only_closed() {
    let trial = Trial::start(&sum());
    trial.pause();
    let clients = askers(trial.address("sum-tcp"), 500);
    for (number, client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.reset();
        }
    }
    trial.resume();
    eventually("all were seen", || trial.counter("sum-tcp", "accepted") == 500);
    trial.end();
}

#[test]
fn case_07_a_thousand_connects_at_once_find_room_in_the_accept_queue() {
    let somaxconn = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    assert!(somaxconn.trim().parse::<usize>().unwrap() >= 1024, "the system allows no such queue");
    let trial = Trial::start(&sum());
    trial.pause();
    let mut clients = askers(trial.address("sum-tcp"), 1000);
    trial.resume();
    for client in &mut clients {
        client.expect(SUM.1);
    }
    drop(clients);
    trial.end();
}

#[test]
fn case_08_a_storm_of_short_connections_delays_no_other_client() {
    const STORM: usize = 1000;
    // Room for the whole storm: connections beyond a full accept queue are never accepted.
    let trial = Trial::start(&[listener_with("sum", &json!({ "backlog": 4 * STORM }))]);
    let address = trial.address("sum-tcp");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(move || (0..STORM).for_each(|_| Client::connect(address).reset()));
        }
    });
    eventually("all were seen", || trial.counter("sum-tcp", "accepted") == 4 * STORM as u64);
    trial.end();
}

/// A client that connects from `source`.
fn from(source: &str, address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(source.parse().unwrap(), 0).into()).unwrap();
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    Client::over(socket.into())
}

#[test]
fn case_09_one_address_cannot_hold_every_place() {
    let two_each = listener_with("sum", &json!({ "limits": { "max_connections_per_ip": 2 } }));
    let trial = Trial::start(&[two_each]);
    let address = trial.address("sum-tcp");
    let mut greedy: Vec<_> = (0..10).map(|_| from("127.0.0.2", address)).collect();
    for client in &mut greedy[..2] {
        client.ask(SUM.0, SUM.1);
    }
    for client in &mut greedy[2..] {
        assert_eq!(client.rest(), b"");
    }
    let mut other = from("127.0.0.3", address);
    other.ask(SUM.0, SUM.1);
    let told = trial.counters().join("\n");
    assert!(told.contains("refused 8 (max_connections_per_ip 8)"), "{told}");
    drop(greedy);
    eventually("connections are allowed again", || {
        let mut again = from("127.0.0.2", address);
        again.send(SUM.0);
        again.try_rest_of(SUM.1.len()).is_ok_and(|answer| answer == SUM.1.as_bytes())
    });
    drop(other);
    trial.end();
}

#[test]
fn case_10_a_connection_that_cannot_be_registered_is_closed_alone() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sum());
    let fault = Fault::on(&trial, &["epoll_ctl:error=ENOSPC:when=1+2"]);
    for number in 0..10 {
        let mut client = Client::connect(trial.address("sum-tcp"));
        if number % 2 == 0 {
            assert_eq!(client.try_rest().unwrap_or_default(), b"", "client {number}");
        } else {
            client.ask(SUM.0, SUM.1);
        }
    }
    drop(fault);
    let process = trial.end();
    assert!(process.log().contains("closed 10 (cannot be registered 5, eof 5), "), "{}", process.log());
}

#[test]
fn case_11_a_listener_that_fails_for_good_logs_it_and_does_not_spin() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&sum());
    let fault = Fault::on(&trial, &["accept4:error=EINVAL"]);
    let mut waiting = askers(trial.address("sum-tcp"), 1);
    eventually("it is logged", || trial.log().contains("sum-tcp: accepting is paused: Invalid argument"));
    eventually("it is tried again", || trial.log().matches("accepting is paused").count() > 2);
    drop(fault);
    // The waiting client is served without another connection.
    waiting[0].expect(SUM.1);
    drop(waiting);
    assert_rest(&trial.end());
}
