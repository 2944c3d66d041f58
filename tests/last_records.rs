//! A bug of a protocol leaves its last records in the log, wherever the protocol panics; and so does a refused
//! connection.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]

use std::io::Write;
use std::net::{Shutdown, TcpStream, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reactor::protocol::{CloseReason, Context, DatagramProtocol, Dropped, Job, Reply, Sink, Step, StreamProtocol};
use reactor::xray::{self, View};
use reactor::{Config, Reactor, Registry};
use serde_json::{Value, json};

/// Panics whenever it is called.
struct Broken;

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

/// Panics on a worker, at the place that its first byte names: in a job, in its sink, or in its last job.
#[derive(Clone, Copy)]
struct Late {
    leaves: bool,
}

impl StreamProtocol for Late {
    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        match input[0] {
            b'j' => Ok(Step::run(|| panic!("job {}", 1)).consuming(1)),
            b's' => Ok(Step::bulk(Self { leaves: false }, 1, |_: &mut Self, _, _, _| Ok(Step::finish())).consuming(1)),
            _ => {
                self.leaves = true;
                Ok(Step::finish().consuming(1))
            }
        }
    }

    fn on_close(&mut self, _: CloseReason) -> Option<Job> {
        self.leaves.then(|| Job::new(|| panic!("last job {}", 3)))
    }
}

impl Sink for Late {
    fn write_all(&mut self, _: &[u8]) -> std::io::Result<()> {
        panic!("sink {}", 2)
    }
}

/// Keeps the log.
struct Log(Mutex<String>);

/// The panics that the hook of this program has seen.
static HOOKED: Mutex<String> = Mutex::new(String::new());

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

/// A server on this thread, with the recorder on.
#[track_caller]
fn bind(listeners: &Value) -> Reactor {
    let mut registry = Registry::built_in();
    let example = "echo | nc -N 127.0.0.1 9000";
    registry
        .stream_fn("broken", "Panics.", example, |_| Broken)
        .datagram_fn("broken", "Panics.", example, || Broken)
        .stream_fn("unreachable", "Panics for every client.", example, |_| -> Broken { panic!("asked to") })
        .stream_fn("late", "Panics on a worker.", example, |_| Late { leaves: false });
    let config = Config::parse("test.json", &json!({ "listeners": listeners }).to_string(), &registry).unwrap();
    xray::start();
    Reactor::bind(&config, &registry).unwrap()
}

/// Turns the loop until the condition holds.
#[track_caller]
fn turn_until(reactor: &mut Reactor, mut is_so: impl FnMut(&Reactor) -> bool) {
    let begin = Instant::now();
    while !is_so(reactor) {
        assert!(begin.elapsed() < Duration::from_secs(30), "the condition never held: {}", LOG.0.lock().unwrap());
        reactor.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

/// The log from `name`'s bug on.
fn bug_of(name: &str) -> Option<String> {
    let log = LOG.0.lock().unwrap();
    let (_, rest) = log.split_once(&format!("{name}: protocol bug: "))?;
    rest.contains("last records of ").then(|| rest.to_owned())
}

#[test]
fn a_panic_leaves_the_last_records_in_the_log_wherever_it_happens() {
    log::set_logger(&LOG).unwrap();
    log::set_max_level(log::LevelFilter::Error);
    // This program has its own panic hook, as any program that embeds a server may, and keeps it.
    std::panic::set_hook(Box::new(|panic| HOOKED.lock().unwrap().push_str(&format!("{panic}\n"))));
    let mut reactor = bind(&json!([
        { "name": "bytes", "listen": "tcp://127.0.0.1:0", "protocol": "broken" },
        { "name": "connect", "listen": "tcp://127.0.0.1:0", "protocol": "unreachable" },
        { "name": "datagram", "listen": "udp://127.0.0.1:0", "protocol": "broken" },
        { "name": "job", "listen": "tcp://127.0.0.1:0", "protocol": "late" },
        { "name": "sink", "listen": "tcp://127.0.0.1:0", "protocol": "late" },
        { "name": "leaving", "listen": "tcp://127.0.0.1:0", "protocol": "late" },
    ]));
    let addresses: Vec<_> = reactor.endpoints().iter().map(|endpoint| endpoint.address().unwrap()).collect();

    let mut bytes = TcpStream::connect(addresses[0]).unwrap();
    bytes.write_all(b"x").unwrap();
    turn_until(&mut reactor, |_| bug_of("bytes").is_some());
    let told = bug_of("bytes").unwrap();
    let peer = bytes.local_addr().unwrap();
    assert!(told.starts_with(&format!("panicked: asked to (peer {peer})\n")), "{told}");
    assert!(told.contains(" at bytes (broken)\n"), "{told}");
    assert!(told.contains("on_bytes(1) = bug;") && told.contains("closed: panicked"), "{told}");

    let connect = TcpStream::connect(addresses[1]).unwrap();
    turn_until(&mut reactor, |_| bug_of("connect").is_some());
    let told = bug_of("connect").unwrap();
    let peer = connect.local_addr().unwrap();
    assert!(told.starts_with(&format!("panicked for a new connection: asked to (peer {peer})\n")), "{told}");
    assert!(told.contains(" at connect (unreachable)\n") && told.contains("closed: bug\n"), "{told}");

    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    datagram.send_to(b"x", addresses[2]).unwrap();
    turn_until(&mut reactor, |_| bug_of("datagram").is_some());
    let told = bug_of("datagram").unwrap();
    let peer = datagram.local_addr().unwrap();
    assert!(told.starts_with(&format!("panicked: asked to (peer {peer})\n")), "{told}");
    assert!(told.contains("on_datagram(1) = bug;"), "{told}");
    assert_eq!(reactor.endpoints()[2].stats().refused.count("bug"), 1);

    let late = [
        (3, "job", "j", "a job panicked: job 1"),
        (4, "sink", "s1", "a job panicked: sink 2"),
        (5, "leaving", "l", "its last job panicked: last job 3"),
    ];
    for (index, name, sent, wanted) in late {
        let mut client = TcpStream::connect(addresses[index]).unwrap();
        client.write_all(sent.as_bytes()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        turn_until(&mut reactor, |_| bug_of(name).is_some());
        let told = bug_of(name).unwrap();
        let peer = format!(" (peer {})", client.local_addr().unwrap());
        let peer = if name == "leaving" { "" } else { &peer };
        assert!(told.starts_with(&format!("{wanted}{peer}\n")), "{told}");
        assert!(HOOKED.lock().unwrap().contains(wanted.split_once(": ").unwrap().1));
    }
}

#[test]
fn the_records_of_a_refused_connection_end_with_its_close() {
    let one_each = json!([{
        "listen": "tcp://127.0.0.1:0", "protocol": "uppercase", "limits": { "max_connections_per_ip": 1 },
    }]);
    let mut reactor = bind(&one_each);
    let address = reactor.endpoints()[0].address().unwrap();
    let _clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    turn_until(&mut reactor, |reactor| reactor.endpoints()[0].stats().refused.total() == 1);
    let mut text = Vec::new();
    View::Text.write(&reactor.recording().unwrap(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.matches(" closed: max_connections_per_ip\n").count(), 1, "{text}");
}
