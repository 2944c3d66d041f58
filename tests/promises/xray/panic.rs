//! A protocol that panics leaves its last records in the log.

use std::sync::Mutex;
use std::thread;

use log::{LevelFilter, Log, Metadata, Record};
use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
use reactor::{Config, Reactor, Registry, xray};
use serde_json::json;

use crate::support::{Client, eventually, listener};

/// Keeps the first bytes, and panics at the next ones.
struct Fragile {
    touched: bool,
}

impl StreamProtocol for Fragile {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        assert!(!std::mem::replace(&mut self.touched, true), "touched twice");
        cx.out.push(b'1');
        Ok(Step::wait(Within::Nothing).consuming(input.len()))
    }
}

/// The errors that this process has logged.
struct Errors(Mutex<String>);

static ERRORS: Errors = Errors(Mutex::new(String::new()));

impl Log for Errors {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push_str(&format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

#[test]
fn a_panic_logs_the_last_records_of_its_own_connection_only() {
    log::set_logger(&ERRORS).unwrap();
    log::set_max_level(LevelFilter::Error);
    let mut registry = Registry::built_in();
    let example = "echo hello | nc -N 127.0.0.1 9000";
    registry.stream_fn("fragile", "Panics when it is touched twice.", example, |_| Fragile { touched: false });
    let text = json!({ "listeners": [listener("fragile", "tcp"), listener("uppercase", "tcp")] }).to_string();
    let config = Config::parse("panic", &text, &registry).unwrap();
    let mut reactor = Reactor::bind(&config, &registry).unwrap();
    let addresses: Vec<_> = reactor.endpoints().iter().map(|endpoint| endpoint.address().unwrap()).collect();
    let handle = reactor.handle();
    let server = thread::spawn(move || {
        xray::start();
        reactor.run().unwrap();
    });

    Client::connect(addresses[1]).ask("other clients", "OTHER CLIENTS");
    let mut client = Client::connect(addresses[0]);
    client.ask("four", "1");
    client.send("eleven more");
    assert_eq!(client.rest(), b"");
    let errors = || ERRORS.0.lock().unwrap().clone();
    eventually("it is logged", || errors().contains("last records of"));
    let (_, last) = errors().split_once("last records of").map(|(begin, end)| (begin.len(), end.to_owned())).unwrap();
    for wanted in [") = 4\n", "sendto(1) = 1", ") = 11\n", "on_bytes(11) = bug", "closed: panicked"] {
        assert!(last.contains(wanted), "no {wanted} in {last}");
    }
    assert!(!last.contains("(13)"), "that was another client: {last}");
    handle.stop();
    server.join().unwrap();
}
