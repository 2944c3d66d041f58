//! F: datagrams.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{
    Ended, Fault, PATIENCE, Process, SUM, Trial, eventually, faults_work, listener, number_after, root_works, watch_for,
};

fn asker(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a unique request, and expects its answer next.
#[track_caller]
fn expect_answer(socket: &UdpSocket, number: usize) {
    socket.send(format!(r#"{{"A":{number},"B":0}}"#).as_bytes()).unwrap();
    let mut buffer = [0; 64];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..count], *format!("{{\"Sum\":{number}}}\n").as_bytes());
}

/// A counter of `sum-udp`, from its own line of the log.
fn counter(process: &Process, what: &str) -> u64 {
    process.counters();
    let log = process.log();
    number_after(log.lines().rfind(|line| line.contains("] sum-udp ")).unwrap(), what)
}

/// A listener with calls that no other socket of the server makes: bound to every address it uses `recvmmsg` and
/// `sendmmsg`.
fn on_every_address() -> [Value; 1] {
    [json!({ "name": "sum-udp", "protocol": "sum", "listen": "udp4://:0" })]
}

fn at_loopback(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port())
}

/// Sends a datagram with a forged source address (`ip(7)`: `IP_HDRINCL`).
fn forge(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) {
    let length = 28 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    // No fragments, a short TTL, UDP; the kernel fills in the checksum, and UDP's checksum may be absent.
    packet.extend([0, 0, 0, 0, 8, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    for field in [from.port(), to.port(), length - 20, 0] {
        packet.extend(field.to_be_bytes());
    }
    packet.extend(payload);
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP)).unwrap();
    socket.set_header_included_v4(true).unwrap();
    socket.send_to(&packet, &SocketAddr::V4(to).into()).unwrap();
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    let SocketAddr::V4(address) = address else { panic!("{address} is not of IPv4") };
    address
}

#[test]
fn case_52_a_forged_packet_never_makes_servers_answer_each_other() {
    if !root_works() {
        return;
    }
    let trials = [Trial::start(&[listener("sum", "udp")]), Trial::start(&[listener("sum", "udp")])];
    let [one, other] = trials.each_ref().map(|trial| v4(trial.address("sum-udp")));
    let payloads: [&[u8]; 5] =
        [SUM.0.as_bytes(), SUM.1.as_bytes(), b"{\"Error\":\"sum overflows\"}\n", b"garbage", b""];
    for payload in payloads {
        for (from, to) in [(one, other), (other, one), (one, one)] {
            forge(from, to, payload);
        }
    }
    let total = |what| trials.iter().map(|trial| counter(trial, what)).sum::<u64>();
    // One answer to each of the three requests, and none to any answer.
    eventually("all have arrived", || total("datagrams in") == 15 + 3);
    watch_for(Duration::from_millis(300));
    assert_eq!((total("datagrams in"), total("datagrams out")), (18, 3));
    for trial in trials {
        trial.end();
    }
}

#[test]
fn case_53_source_port_0_is_never_answered() {
    if !root_works() {
        return;
    }
    let trial = Trial::start(&[listener("sum", "udp")]);
    let address = v4(trial.address("sum-udp"));
    for _ in 0..10 {
        forge(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0), address, SUM.0.as_bytes());
    }
    eventually("all have arrived", || counter(&trial, "datagrams in") == 10);
    assert_eq!((counter(&trial, "datagrams out"), counter(&trial, "source port 0")), (0, 10));
    expect_answer(&asker(address.into()), 53);
    trial.end();
}

#[test]
fn case_54_a_thousand_empty_datagrams_end_nothing() {
    let trial = Trial::start(&[listener("sum", "udp")]);
    let socket = asker(trial.address("sum-udp"));
    for number in 0..50 {
        for _ in 0..20 {
            socket.send(b"").unwrap();
        }
        expect_answer(&socket, number);
    }
    assert_eq!(counter(&trial, "empty"), 1000);
    trial.end();
}

#[test]
fn case_55_a_datagram_of_the_maximum_size_is_answered_a_longer_dropped() {
    let trial = Trial::start(&[listener("sum", "udp")]);
    let socket = asker(trial.address("sum-udp"));
    for (number, size) in [4095, 4096].into_iter().enumerate() {
        socket.send(format!("{:size$}", format!(r#"{{"A":{number},"B":1}}"#)).as_bytes()).unwrap();
        let mut buffer = [0; 64];
        let count = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..count], *format!("{{\"Sum\":{}}}\n", number + 1).as_bytes());
    }
    for (number, size) in [4097, 8192, 65_507].into_iter().enumerate() {
        socket.send(format!("{:size$}", SUM.0).as_bytes()).unwrap();
        expect_answer(&socket, number);
    }
    assert_eq!(counter(&trial, "too long"), 3);
    trial.end();
}

#[test]
fn case_56_no_error_of_receiving_closes_the_socket() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&on_every_address());
    let socket = asker(at_loopback(trial.address("sum-udp")));
    for errno in ["ECONNREFUSED", "EHOSTUNREACH", "ENOMEM", "ENOBUFS", "EINTR"] {
        let fault = Fault::on(&trial, &[&format!("recvmmsg:error={errno}:when=1+3")]);
        (0..10).for_each(|number| expect_answer(&socket, number));
        drop(fault);
    }
    trial.end();
}

#[test]
fn case_57_an_answer_that_cannot_be_sent_is_counted_and_the_next_sent() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&on_every_address());
    let socket = asker(at_loopback(trial.address("sum-udp")));
    let errors = ["ENOBUFS", "EPERM", "EINVAL", "EMSGSIZE", "ENETUNREACH", "EACCES", "ECONNREFUSED"];
    for errno in errors {
        // After these errors the server tests by a call without a datagram whether the call itself is refused.
        let each = if ["EPERM", "EACCES"].contains(&errno) { 3 } else { 2 };
        let fault = Fault::on(&trial, &[&format!("sendmmsg:error={errno}:when=1+{each}")]);
        for number in 0..5 {
            socket.send(SUM.0.as_bytes()).unwrap();
            // A longer answer is never in one run behind a shorter one.
            expect_answer(&socket, 1000 + number);
        }
        drop(fault);
    }
    assert_eq!(counter(&trial, "send error"), 5 * errors.len() as u64);
    trial.end();
}

#[test]
fn case_57_a_run_of_answers_that_the_kernel_refuses_leaves_one_by_one() {
    if !faults_work() {
        return;
    }
    for errno in ["EINVAL", "EIO", "EMSGSIZE"] {
        let trial = Trial::start(&on_every_address());
        let socket = asker(at_loopback(trial.address("sum-udp")));
        let fault = Fault::on(&trial, &[&format!("sendmmsg:error={errno}:when=1")]);
        trial.pause();
        for _ in 0..3 {
            socket.send(SUM.0.as_bytes()).unwrap();
        }
        trial.resume();
        for _ in 0..3 {
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..count], *SUM.1.as_bytes(), "{errno}");
        }
        drop(fault);
        assert_eq!(counter(&trial, "dropped"), 0, "{errno}");
        trial.end();
    }
}

#[test]
fn where_batches_are_refused_each_datagram_takes_its_own_call() {
    if !faults_work() {
        return;
    }
    for (errno, listen) in [("ENOSYS", "udp4://:0"), ("EPERM", "udp://:0"), ("EACCES", "udp4://:0")] {
        let process = Process::start(&json!({ "listeners": [
            { "name": "sum-udp", "protocol": "sum", "listen": listen }
        ] }));
        let fault = Fault::on(&process, &[&format!("recvmmsg:error={errno}"), &format!("sendmmsg:error={errno}")]);
        let socket = asker(at_loopback(process.address("sum-udp")));
        (0..100).for_each(|number| expect_answer(&socket, number));
        for what in ["receive errors", "dropped"] {
            assert_eq!(counter(&process, what), 0, "{errno}");
        }
        for call in ["recvmmsg(2)", "sendmmsg(2)"] {
            assert_eq!(process.log().matches(&format!("{call} is refused")).count(), 1, "{errno}");
        }
        drop(fault);
    }
}

#[test]
fn a_socket_that_cannot_receive_is_reported_and_delays_no_stop() {
    if !faults_work() {
        return;
    }
    let trial = Trial::start(&on_every_address());
    let socket = asker(at_loopback(trial.address("sum-udp")));
    let fault = Fault::on(&trial, &["recvmmsg:error=EIO"]);
    socket.send(SUM.0.as_bytes()).unwrap();
    eventually("it is logged", || trial.log().contains("sum-udp: no datagram can be received: "));
    assert!(counter(&trial, "receive errors") > 0);
    assert_eq!(counter(&trial, "dropped"), 0, "no datagram was received");
    drop(fault);
    let mut buffer = [0; 64];
    assert_eq!(socket.recv(&mut buffer).unwrap(), SUM.1.len(), "it resumes");

    let fault = Fault::on(&trial, &["recvmmsg:error=EIO"]);
    socket.send(SUM.0.as_bytes()).unwrap();
    let process = trial.end_without_a_canary();
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("shutdown_timeout expired"), "{log}");
    drop(fault);
}

#[test]
fn sigterm_under_a_flood_answers_earlier_datagrams_and_ends() {
    let mut process = Process::start(&json!({ "listeners": [listener("sum", "udp")] }));
    let address = process.address("sum-udp");
    // Datagrams that wait here before the stop are answered after it.
    let early = asker(address);
    process.pause();
    early.send(SUM.0.as_bytes()).unwrap();
    let over = Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        for _ in 0..3 {
            scope.spawn(|| {
                let socket = asker(address);
                while !over.has_ended() {
                    // In the end the server has exited.
                    let _ = socket.send(SUM.0.as_bytes());
                }
            });
        }
        process.signal(Signal::SIGTERM);
        process.resume();
        let mut buffer = [0; 64];
        assert_eq!(early.recv(&mut buffer).unwrap(), SUM.1.len());
        eventually("it ends", || !process.is_running());
    });
    let (status, log) = process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!log.contains("shutdown_timeout expired"), "{log}");
    let line = log.lines().rfind(|line| line.contains("] sum-udp ")).unwrap();
    let [received, sent, dropped] = ["datagrams in", "datagrams out", "dropped"].map(|what| number_after(line, what));
    assert_eq!(received, sent + dropped, "{line}");
}

#[test]
fn case_58_a_flood_of_datagrams_delays_no_other_client() {
    let trial = Trial::start(&[listener("sum", "udp")]);
    let address = trial.address("sum-udp");
    let over = Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        scope.spawn(|| {
            let socket = asker(address);
            while !over.has_ended() {
                socket.send(SUM.0.as_bytes()).unwrap();
            }
        });
        watch_for(Duration::from_secs(1));
    });
    assert!(counter(&trial, "datagrams out") > 0);
    expect_answer(&asker(address), 58);
    trial.end();
}

#[test]
fn case_60_a_late_or_repeated_request_gets_its_answer_each_time() {
    let trial = Trial::start(&[listener("sum", "udp")]);
    let socket = asker(trial.address("sum-udp"));
    for number in [3, 1, 2, 1, 1, 3] {
        expect_answer(&socket, number);
    }
    trial.end();
}

#[test]
fn case_61_ipv4_and_ipv6_share_a_port_and_neither_takes_from_the_other() {
    let free = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let listen = |scheme: &str| json!({ "name": scheme, "protocol": "sum", "listen": format!("{scheme}://:{free}") });
    let trial = Trial::start(&[listen("udp4"), listen("udp6")]);
    expect_answer(&asker(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), free)), 4);
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(("::1", free)).unwrap();
    expect_answer(&socket, 6);
    trial.counters();
    let log = trial.log();
    for name in ["udp4", "udp6"] {
        let line = log.lines().rfind(|line| line.contains(&format!("] {name} "))).unwrap();
        assert_eq!(number_after(line, "datagrams in"), 1, "{line}");
    }
    trial.end();
}
