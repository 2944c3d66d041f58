//! A bug of a protocol leaves its last records in the log, wherever the protocol panics; and so does whoever is refused.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reactor::protocol::{
    Context, DatagramProtocol, Dropped, NoOptions, Reply, Service, Setup, SetupError, StreamProtocol, StreamService,
};
use reactor::xray::{self, View};
use reactor::{Config, Reactor, Registry};
use serde_json::{Value, json};

/// Panics whenever it is called.
#[derive(Clone)]
struct Broken;

impl Service for Broken {
    const NAME: &'static str = "broken";
    const ABOUT: &'static str = "Panics.";
    const TRY: &'static str = "echo | nc -N 127.0.0.1 9000";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Broken {
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        Box::new(Self)
    }
}

impl StreamProtocol for Broken {
    fn on_bytes(&mut self, _: &[u8], _: &mut Context<'_>) -> Reply {
        panic!("asked to")
    }
}

impl DatagramProtocol for Broken {
    fn on_datagram(&mut self, _: &[u8], _: &mut Context<'_>) -> Result<(), Dropped> {
        panic!("asked to")
    }
}

/// Panics as soon as somebody connects.
struct Unreachable;

impl Service for Unreachable {
    const NAME: &'static str = "unreachable";
    const ABOUT: &'static str = "Panics for everybody.";
    const TRY: &'static str = "echo | nc -N 127.0.0.1 9000";
    type Options = NoOptions;

    fn open(_: NoOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self)
    }
}

impl StreamService for Unreachable {
    fn connect(&self, _: SocketAddr) -> Box<dyn StreamProtocol> {
        panic!("asked to")
    }
}

/// Keeps what the log says.
struct Log(Mutex<String>);

static LOG: Log = Log(Mutex::new(String::new()));

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push_str(&format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

/// A server on this thread, which is recorded.
#[track_caller]
fn bind(listeners: &Value) -> Reactor {
    let mut registry = Registry::built_in();
    registry.stream::<Broken>().datagram::<Broken>().stream::<Unreachable>();
    let config = Config::parse("test.json", &json!({ "listeners": listeners }).to_string(), &registry).unwrap();
    xray::start();
    Reactor::bind(&config, &registry).unwrap()
}

/// Turns until that is so.
#[track_caller]
fn turn_until(reactor: &mut Reactor, mut is_so: impl FnMut(&Reactor) -> bool) {
    let begin = Instant::now();
    while !is_so(reactor) {
        assert!(begin.elapsed() < Duration::from_secs(30), "it never came to that: {}", LOG.0.lock().unwrap());
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

/// What the log says from `name`'s bug on.
fn bug_of(name: &str) -> Option<String> {
    let log = LOG.0.lock().unwrap();
    let (_, rest) = log.split_once(&format!("{name}: a bug of the protocol: "))?;
    rest.contains("its last records:\n").then(|| rest.to_owned())
}

#[test]
fn a_panic_leaves_the_last_records_in_the_log_wherever_it_happens() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    let mut reactor = bind(&json!([
        { "name": "bytes", "listen": "tcp://127.0.0.1:0", "protocol": "broken" },
        { "name": "connect", "listen": "tcp://127.0.0.1:0", "protocol": "unreachable" },
        { "name": "datagram", "listen": "udp://127.0.0.1:0", "protocol": "broken" },
    ]));
    let addresses: Vec<_> = reactor.endpoints().iter().map(|endpoint| endpoint.address()).collect();

    let mut bytes = TcpStream::connect(addresses[0]).unwrap();
    bytes.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| bug_of("bytes").is_some());
    let told = bug_of("bytes").unwrap();
    assert!(told.starts_with("it panicked") && told.contains(" at bytes (broken)\n"), "{told}");
    assert!(told.contains("on_bytes(1) = bug;") && told.contains("closed: it panicked"), "{told}");

    let _connect = TcpStream::connect(addresses[1]).unwrap();
    turn_until(&mut reactor, |_| bug_of("connect").is_some());
    let told = bug_of("connect").unwrap();
    assert!(told.contains(" at connect (unreachable)\n") && told.contains("closed: bug\n"), "{told}");

    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagram.send_to(b"x", addresses[2]).unwrap();
    turn_until(&mut reactor, |_| bug_of("datagram").is_some());
    let told = bug_of("datagram").unwrap();
    assert!(told.contains("on_datagram(1) = bug;"), "{told}");
    assert_eq!(reactor.endpoints()[2].stats().refused.count("bug"), 1);
}

#[test]
fn the_life_of_whoever_is_refused_ends() {
    let one_each = json!([{
        "listen": "tcp://127.0.0.1:0", "protocol": "uppercase", "limits": { "max_connections_per_ip": 1 },
    }]);
    let mut reactor = bind(&one_each);
    let address = reactor.endpoints()[0].address();
    let _clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    turn_until(&mut reactor, |reactor| reactor.endpoints()[0].stats().refused.total() == 1);
    let mut text = Vec::new();
    View::Text.write(&reactor.recording().unwrap(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches(" closed: max_connections_per_ip\n").count(), 1, "{text}");
}
