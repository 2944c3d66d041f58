//! The context of a protocol: what it learns about its connection.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use reactor::protocol::{Context, DatagramProtocol, Dropped, Reply, Step, StreamProtocol, Within};
use reactor::xray::{self, Call, Recording, What};
use reactor::{Config, Reactor, Registry};
use serde_json::json;

use crate::support::{Client, PATIENCE};

/// Answers `?` with the number of its connection, and `!` with the address at which its peer reached it.
struct Where;

fn say(question: &[u8], cx: &mut Context<'_>) {
    let text = match question {
        b"?" => format!("{} {}\n", cx.listener(), cx.id()),
        _ => format!("{} {}\n", cx.local_address().unwrap(), cx.peer()),
    };
    cx.out.extend_from_slice(text.as_bytes());
}

impl StreamProtocol for Where {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        say(input, cx);
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

impl DatagramProtocol for Where {
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
        say(payload, cx);
        Ok(())
    }
}

/// A server on this thread, which turns until a client has its answer, with the recorder on.
struct Recorded(Reactor);

impl Recorded {
    fn listen(url: &str) -> Self {
        let mut registry = Registry::empty();
        let (about, example) = ("Answers with its addresses.", "echo '!' | nc 127.0.0.1 9000");
        registry.stream_fn("where", about, example, |_| Where).datagram_fn("where", about, example, || Where);
        let config = json!({ "listeners": [{ "name": "door", "listen": url, "protocol": "where" }] });
        let config = Config::parse("test.json", &config.to_string(), &registry).unwrap();
        xray::start();
        Self(Reactor::bind(&config, &registry).unwrap())
    }

    /// Its address at `ip`.
    fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.0.endpoints()[0].address().unwrap().port())
    }

    fn turn_until(&mut self, mut condition: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !condition() {
            assert!(begin.elapsed() < PATIENCE, "no answer");
            self.0.turn(Some(Duration::from_millis(1))).unwrap();
        }
    }

    fn ask(&mut self, client: &mut Client, question: &str) -> String {
        client.send(question);
        self.turn_until(|| client.has_answer());
        String::from_utf8(client.read_once(100)).unwrap()
    }

    fn recording(&self) -> Recording {
        self.0.recording().unwrap()
    }

    /// The number of its calls of getsockname(2) since it accepted a connection.
    fn names_asked(&self) -> usize {
        let records = self.recording().records;
        let accepted = records.iter().skip_while(|record| !matches!(record.what, What::Accepted { .. }));
        accepted.filter(|record| matches!(record.what, What::Call { call: Call::GetName, .. })).count()
    }
}

#[test]
fn the_context_has_the_listener_and_the_number_that_the_xray_prints() {
    let mut server = Recorded::listen("tcp://127.0.0.1:0");
    let mut clients = [(); 2].map(|()| Client::connect(server.at("127.0.0.1")));
    let answers = clients.each_mut().map(|client| server.ask(client, "?"));
    let accepted: Vec<_> = server
        .recording()
        .records
        .iter()
        .filter(|record| matches!(record.what, What::Accepted { .. }))
        .map(|record| format!("door {}\n", record.who))
        .collect();
    assert_eq!(answers.to_vec(), accepted);
}

#[test]
fn the_local_address_is_the_one_reached_and_asked_for_only_on_demand() {
    for (url, ip) in [("tcp://0.0.0.0:0", "127.77.0.5"), ("tcp://:0", "127.0.0.1"), ("tcp://:0", "::1")] {
        let mut server = Recorded::listen(url);
        let reached = server.at(ip);
        let mut client = Client::connect(reached);
        let told = format!("{reached} {}\n", client.stream().local_addr().unwrap());
        for times in 1..3 {
            server.ask(&mut client, "?");
            assert_eq!(server.ask(&mut client, "!"), told, "{url}");
            assert_eq!(server.names_asked(), times, "{url}");
        }
    }
}

#[test]
fn a_listener_at_one_address_knows_it_without_a_system_call() {
    let mut server = Recorded::listen("tcp://127.0.0.1:0");
    let reached = server.at("127.0.0.1");
    let mut client = Client::connect(reached);
    assert_eq!(server.ask(&mut client, "!"), format!("{reached} {}\n", client.stream().local_addr().unwrap()));
    assert_eq!(server.names_asked(), 0);
}

#[test]
fn the_context_of_a_datagram_has_the_address_that_it_was_sent_to() {
    for (url, ip) in [
        ("udp://0.0.0.0:0", "127.77.0.5"),
        ("udp://:0", "127.0.0.1"),
        ("udp://:0", "::1"),
        ("udp://127.0.0.1:0", "127.0.0.1"),
    ] {
        let mut server = Recorded::listen(url);
        let reached = server.at(ip);
        let socket = UdpSocket::bind((if reached.is_ipv6() { "::1" } else { "127.0.0.1" }, 0)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(reached).unwrap();
        socket.send(b"!").unwrap();
        server.turn_until(|| {
            socket.set_nonblocking(true).unwrap();
            let answered = socket.peek(&mut [0]).is_ok();
            socket.set_nonblocking(false).unwrap();
            answered
        });
        let mut buffer = [0; 100];
        let count = socket.recv(&mut buffer).unwrap();
        let told = format!("{reached} {}\n", socket.local_addr().unwrap());
        assert_eq!(String::from_utf8_lossy(&buffer[..count]), told, "{url}");
    }
}
