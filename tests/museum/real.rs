//! The real server, and the checker's output without a verdict.

use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::checker::{Report, check, run};
use crate::server::{Output, Server};

#[track_caller]
fn meets_every_demand(protocol: &str, scheme: &str) {
    let server = Server::real(protocol, scheme, Output::Unread);
    let Report { code, text } = check(&server, &["--full", "--timeout", "50s"]);
    assert_eq!(code, 0, "{protocol} over {scheme}: {text}");
    let untried = text.matches("not tried").count();
    assert!(text.ends_with(" met, 0 missed\n") && untried == text.matches("not tried: needs --").count(), "{text}");
    // The steps try these: deadlines, and the end of the server.
    let is_stream = ["sum", "uppercase"].contains(&protocol) && scheme == "tcp";
    assert_eq!(untried, if is_stream { 4 + usize::from(protocol == "sum") } else { 0 }, "{text}");
}

// Each with a full pipe for its log, which one piece of the museum cannot bear.

#[test]
fn sums_over_tcp_meet_every_demand() {
    meets_every_demand("sum", "tcp");
}

#[test]
fn sums_over_udp_meet_every_demand() {
    meets_every_demand("sum", "udp");
}

#[test]
fn upper_case_meets_every_demand() {
    meets_every_demand("uppercase", "tcp");
}

#[test]
fn the_greeting_and_the_time_meet_every_demand() {
    meets_every_demand("greeting", "tcp");
    meets_every_demand("time", "tcp");
}

#[test]
fn without_pid_only_demands_visible_from_outside_are_tried() {
    let server = Server::real("sum", "tcp", Output::Read);
    let [protocol, url] = server.spoken();
    let Report { code, text } = run(&[protocol, url, "--only", "answers,rest", "--timeout", "50s"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("ok      answers") && text.contains("rest          not tried: needs --pid or --run"),
        "{text}"
    );
}

#[test]
fn a_wrong_answer_is_reported_with_sent_got_and_expected() {
    // The server speaks another protocol than the checker.
    let server = Server::real("greeting", "tcp", Output::Read);
    let [_, url] = server.spoken();
    let Report { code, text } = run(&["sum", url, "--only", "answers", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.starts_with(&format!("the server at {url} does not answer as expected")), "{text}");
    assert!(text.contains(r#"sent      {"A":"#), "{text}");
    assert!(text.contains("got       This is"), "{text}");
    assert!(text.contains(r#"expected  {"Sum":"#), "{text}");
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let Report { code, text } = run(&["sum", "tcp://127.0.0.1:1", "--timeout", "50s"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn every_demand_is_listed_and_an_unknown_name_is_wrong_usage() {
    let Report { code, text } = run(&["--list"]);
    assert_eq!(code, 0, "{text}");
    for name in ["answers", "late-reader", "exit", "descriptors", "silence", "half"] {
        assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}: {text}");
    }
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--only", "nothing"]).code, 2);
    assert_eq!(run(&["time", "udp://127.0.0.1:1"]).code, 2);
    assert_eq!(run(&["sum"]).code, 2);
    assert_eq!(run(&["sum", "tcp://127.0.0.1:1", "--directory", "received"]).code, 2);
}

/// Answers questions over UDP as most servers do: the kernel chooses the address of the answer. Returns the port.
fn any_address() -> u16 {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 256];
        loop {
            let (count, client) = socket.recv_from(&mut buffer).unwrap();
            let text = String::from_utf8_lossy(&buffer[..count]);
            let number: u64 = text.split([':', ',']).nth(1).unwrap().parse().unwrap();
            socket.send_to(format!("{{\"Sum\":{}}}\n", number + 1).as_bytes(), client).unwrap();
        }
    });
    port
}

#[test]
fn an_answer_from_another_address_than_was_asked_is_a_miss() {
    let url = format!("udp://127.0.0.1:{}", any_address());
    let options = ["--only", "answers,address,lost", "--keep-going", "--timeout", "4s"];
    let Report { code, text } = run(&[&["sum", &url], &options[..]].concat());
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("MISSED  address") && text.contains("ok      lost"), "{text}");
    assert!(text.contains("docs/udp.md#one-udp-socket-many-peers"), "{text}");
}

#[test]
fn an_address_that_takes_no_connection_does_not_delay_the_checker() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    // Until the accept queue is full: the kernel drops each further SYN.
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
    let _queued: Vec<_> = std::iter::from_fn(connect).collect();

    let url = format!("tcp://{address}");
    let began = Instant::now();
    let Report { code, text } = run(&["sum", &url, "--only", "answers", "--timeout", "1s"]);
    assert!(
        code == 1 && text.contains("does not answer as expected") && text.contains("got       a timeout"),
        "{text}"
    );
    let Report { code, text } = run(&["sum", &url, "--run", "sleep 100", "--step", "1", "--timeout", "1s"]);
    assert!(code == 1 && text.contains("the server does not listen at"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
