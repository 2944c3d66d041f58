//! The crate inside another program, with its own protocols, its own turns of the loop, and its own end.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::Duration;

use reactor::protocol::{
    Admission, Context, DatagramProtocol, Dropped, OptionError, Peer, Reply, Service, Setup, SetupError, Step,
    StreamProtocol, StreamService, Within,
};
use reactor::{Config, Reactor, Registry, Stopped, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Server, listener, program};

/// Answers each line, or datagram, with a prefix and the same bytes reversed.
#[derive(Clone)]
struct Mirror {
    prefix: String,
}

#[derive(Serialize, Deserialize, JsonSchema, Default)]
#[serde(default, deny_unknown_fields)]
struct MirrorOptions {
    prefix: String,
}

impl Service for Mirror {
    const NAME: &'static str = "mirror";
    const ABOUT: &'static str = "Answers each line reversed.";
    const TRY: &'static str = "echo live | nc -N 127.0.0.1 9000";
    type Options = MirrorOptions;

    fn check(options: &MirrorOptions) -> Result<(), Vec<OptionError>> {
        match options.prefix.len() {
            0..=8 => Ok(()),
            long => Err(vec![OptionError::new("prefix", format!("expected 8 bytes at most, found {long}"))]),
        }
    }

    fn open(options: MirrorOptions, _: &Setup<'_>) -> Result<Self, SetupError> {
        Ok(Self { prefix: options.prefix })
    }
}

impl StreamService for Mirror {
    fn connect(&self, _: &Peer) -> Admission {
        Ok(Box::new(self.clone()))
    }
}

impl Mirror {
    fn answer(&self, line: &[u8], cx: &mut Context<'_>) {
        cx.out.extend_from_slice(self.prefix.as_bytes());
        let turned: Vec<_> = line.iter().rev().copied().collect();
        cx.out.extend_from_slice(&turned);
    }
}

impl StreamProtocol for Mirror {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Ok(Step::wait(Within::Request)) };
        assert_ne!(&input[..end], b"panic", "asked to");
        self.answer(&input[..end], cx);
        cx.out.extend_from_slice(b"\n");
        Ok(Step::again(end + 1))
    }
}

impl DatagramProtocol for Mirror {
    fn on_datagram(&mut self, payload: &[u8], cx: &mut Context<'_>) -> Result<(), Dropped> {
        if payload.is_empty() {
            return Err(Dropped("empty"));
        }
        self.answer(payload, cx);
        Ok(())
    }
}

fn registry() -> Registry {
    let mut registry = Registry::built_in();
    registry.stream::<Mirror>().datagram::<Mirror>();
    registry
}

fn mirror(options: &Value) -> Value {
    let mut listeners = [listener("mirror", "tcp"), listener("mirror", "udp")];
    for listener in &mut listeners {
        listener["options"] = options.clone();
    }
    json!({ "listeners": listeners })
}

#[test]
fn a_protocol_of_another_crate_is_configured_and_served_like_built_in() {
    let server = Server::start(&registry(), &mirror(&json!({ "prefix": "> " })));
    let mut client = Client::connect(server.address("mirror-tcp"));
    client.ask("live\nno", "> evil\n");
    client.ask("on\n", "> noon\n");

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.connect(server.address("mirror-udp")).unwrap();
    socket.send(b"").unwrap();
    socket.send(b"live").unwrap();
    let mut buffer = [0; 64];
    let count = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"> evil");
    assert_eq!(server.stats("mirror-udp").refused.count("empty"), 1);
}

#[test]
fn its_options_are_checked_and_errors_carry_their_paths() {
    for (options, path) in [
        (json!({ "prefix": "a long prefix" }), "listeners[0].options.prefix"),
        (json!({ "prefix": 7 }), "listeners[0].options.prefix"),
        (json!({ "prefic": "x" }), "listeners[0].options: unknown member \"prefic\"; did you mean \"prefix\"?"),
    ] {
        let text = mirror(&options).to_string();
        let problems = Config::parse("mine.json", &text, &registry()).unwrap_err().to_string();
        assert!(problems.starts_with("mine.json:1:") && problems.contains(path), "{problems}");
    }
}

#[test]
fn an_unknown_protocol_is_an_error_that_suggests_the_plug_in() {
    let text = json!({ "listeners": [listener("miror", "tcp")] }).to_string();
    let problems = Config::parse("mine.json", &text, &registry()).unwrap_err().to_string();
    assert!(problems.contains(r#"did you mean "mirror"?"#), "{problems}");
}

/// An address that no other test uses, so that a port which is free stays free.
const OWN: &str = "127.77.0.2";

fn reactor() -> Reactor {
    let registry = registry();
    let config = Config::parse("mine.json", &mirror(&json!({})).to_string(), &registry).unwrap();
    Reactor::bind(&config, &registry).unwrap()
}

#[test]
fn single_turns_serve_as_well_as_a_run_does() {
    let mut reactor = reactor();
    let mut client = Client::connect(reactor.endpoints()[0].address().unwrap());
    for _ in 0..3 {
        client.send("live\n");
        while !client.has_answer() {
            assert_eq!(reactor.turn(Some(Duration::from_millis(10))).unwrap(), Turn::Running);
        }
        client.expect("evil\n");
    }
    assert_eq!((reactor.endpoints()[0].stats().accepted, reactor.endpoints()[0].open_connections()), (1, 1));
}

#[test]
fn a_turn_with_nothing_to_do_returns_after_its_timeout() {
    let mut reactor = reactor();
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        assert_eq!(reactor.turn(Some(timeout)).unwrap(), Turn::Running);
    }
}

#[test]
fn a_handle_stops_a_run_from_another_thread() {
    for (stop, expected) in
        [(reactor::Handle::stop as fn(&_), Stopped::Gracefully), (reactor::Handle::abort, Stopped::AtOnce)]
    {
        let mut reactor = reactor();
        let handle = reactor.handle();
        let thread = thread::spawn(move || reactor.run().unwrap());
        stop(&handle);
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn a_reactor_that_is_dropped_frees_its_addresses() {
    let registry = registry();
    let config = json!({ "listeners": [
        { "protocol": "mirror", "listen": format!("tcp://{OWN}:0") },
        { "protocol": "mirror", "listen": format!("udp://{OWN}:0") },
    ] });
    let config = Config::parse("mine.json", &config.to_string(), &registry).unwrap();
    let reactor = Reactor::bind(&config, &registry).unwrap();
    let addresses = [0, 1].map(|index| reactor.endpoints()[index].address().unwrap());
    assert!(TcpListener::bind(addresses[0]).is_err() && UdpSocket::bind(addresses[1]).is_err());
    drop(reactor);
    TcpListener::bind(addresses[0]).unwrap();
    UdpSocket::bind(addresses[1]).unwrap();
}

#[test]
fn an_address_in_use_is_an_error_with_the_listener_and_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = TcpListener::bind((OWN, 0)).unwrap().local_addr().unwrap();
    let mut config = mirror(&json!({}));
    config["listeners"][0]["listen"] = json!(format!("tcp://{free}"));
    config["listeners"][1] = json!({
        "name": "second", "protocol": "mirror", "listen": format!("tcp://{}", taken.local_addr().unwrap()),
    });
    let registry = registry();
    let config = Config::parse("mine.json", &config.to_string(), &registry).unwrap();
    let error = Reactor::bind(&config, &registry).unwrap_err().to_string();
    assert!(error.starts_with("second: cannot listen on tcp://127.0.0.1:"), "{error}");
    TcpListener::bind(free).unwrap();
}

#[test]
fn an_address_of_another_listener_is_reported_under_any_name() {
    let port = TcpListener::bind((OWN, 0)).unwrap().local_addr().unwrap().port();
    let at = |name: &str, host: &str| json!({ "name": name, "protocol": "mirror", "listen": format!("tcp4://{host}:{port}") });
    let config = json!({ "listeners": [at("first", "127.0.0.1"), at("second", "localhost")] });
    let registry = registry();
    let config = Config::parse("mine.json", &config.to_string(), &registry).unwrap();
    let error = Reactor::bind(&config, &registry).unwrap_err().to_string();
    let expected =
        format!("tcp4://localhost:{port}: the listener first already has this address (tcp://127.0.0.1:{port})");
    assert_eq!(error, format!("second: cannot listen on {expected}"));
}

#[test]
fn a_panic_of_a_protocol_ends_its_own_connection_and_is_counted_as_a_bug() {
    let mut reactor = reactor();
    let address = reactor.endpoints()[0].address().unwrap();
    let handle = reactor.handle();
    let thread = thread::spawn(move || {
        reactor.run().unwrap();
        reactor
    });
    let mut honest = Client::connect(address);
    honest.ask("live\n", "evil\n");
    let mut client = Client::connect(address);
    client.send("panic\n");
    assert!(client.try_rest().is_ok_and(|rest| rest.is_empty()));
    honest.ask("live\n", "evil\n");
    drop((honest, client));
    handle.stop();
    let reactor = thread.join().unwrap();
    assert_eq!(reactor.endpoints()[0].stats().closed.count("bug"), 1);
}

#[test]
fn a_program_that_has_a_name_and_a_version_tells_its_own() {
    let told = |argument: &str| {
        let output = Command::new(program("fragile")).arg(argument).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(told("--version"), "fragile 0.0.1\n");
    let help = told("--help");
    assert!(help.starts_with("A server that divides by what it is sent.\n\nUsage: fragile "), "{help}");
}
