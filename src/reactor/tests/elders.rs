//! What an administrator sees of a listener whose connections are older than its configuration.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::Reactor;
use super::fake::Fake;
use super::reload::{connect, listeners, reload, server_of, turn};
use crate::kernel::Command;
use crate::protocol::{Context, Reply, Step, StreamProtocol, Target, Within};
use crate::registry::Registry;
use crate::snapshot::{Table, Wanted};
use crate::xray::{self, What};

/// Is in the middle of a request for ever.
struct Busy;

impl StreamProtocol for Busy {
    fn on_open(&mut self, _: &mut Context<'_>) -> Reply {
        Ok(Step::wait(Within::Body))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }
}

/// Connects to an address as soon as a client is there.
struct Caller;

impl StreamProtocol for Caller {
    fn on_open(&mut self, _: &mut Context<'_>) -> Reply {
        let address = SocketAddr::from(([192, 0, 2, 9], 9));
        Ok(Step::connect(Target::from(address), |_| Busy, |_: &mut Self, _, _, _| Ok(Step::wait(Within::Body))))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }
}

fn registry() -> Registry {
    let mut registry = Registry::built_in();
    registry.stream_fn("busy", "Waits.", "true", |_| Busy);
    registry.stream_fn("caller", "Connects.", "true", |_| Caller);
    registry
}

/// A listener with an `idle_timeout` in hours.
fn listener(name: &str, port: u16, protocol: &str, hours: u32) -> String {
    let limits = format!(r#"{{ "idle_timeout": "{hours}h" }}"#);
    format!(
        r#"{{ "name": "{name}", "listen": "tcp://127.0.0.1:{port}", "protocol": "{protocol}", "limits": {limits} }}"#
    )
}

/// The listeners of the rows that this filter chooses, in alphabetical order.
fn rows(reactor: &Reactor<Fake>, name: Option<&str>) -> Vec<String> {
    let Table { rows, .. } = reactor.rows(&Wanted { listener: name.map(str::to_owned), rows_max: 10 });
    let mut names: Vec<_> = rows.into_iter().map(|row| row.listener).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_row_has_the_new_name_of_its_listener_and_the_last_of_a_removed_one() {
    let other = listener("other", 2, "busy", 1);
    let (mut reactor, file) = server_of(registry(), &listeners(&[&listener("old", 1, "busy", 1), &other]));
    connect(&mut reactor, "old");
    connect(&mut reactor, "other");
    assert!(reload(&mut reactor, &file, &listeners(&[&listener("new", 1, "busy", 2)])));
    assert_eq!(rows(&reactor, None), ["new", "new", "other"], "a door and two connections");
    assert_eq!(rows(&reactor, Some("new")), ["new", "new"]);
    assert_eq!(rows(&reactor, Some("other")), ["other"]);
    assert_eq!(rows(&reactor, Some("old")), [""; 0]);
    // Logs the same table.
    reactor.kernel.asks(Command::Report);
    turn(&mut reactor);
}

#[test]
fn a_slow_turn_counts_once_for_a_listener_and_its_elders() {
    let (mut reactor, file) = server_of(registry(), &listeners(&[&listener("old", 1, "busy", 1)]));
    for hours in 2..4 {
        connect(&mut reactor, "old");
        assert!(reload(&mut reactor, &file, &listeners(&[&listener("old", 1, "busy", hours)])));
    }
    assert_eq!(reactor.endpoints.len(), 3, "two elders");
    let begun = reactor.moment.now;
    reactor.begin_turn();
    (0..3).for_each(|index| reactor.lent.budget.serve(index));
    reactor.end_turn(begun.after(Duration::from_secs(10)));
    reactor.endpoints.gather();
    assert_eq!(reactor.endpoints()[0].stats().slow_turns, 1);
}

#[test]
fn an_outgoing_connection_is_recorded_at_its_listener() {
    xray::start();
    let (first, caller) = (listener("first", 1, "busy", 1), listener("caller", 2, "caller", 1));
    let (mut reactor, file) = server_of(registry(), &listeners(&[&first, &caller]));
    assert!(reload(&mut reactor, &file, &listeners(&[&caller])), "it is the first listener now");
    connect(&mut reactor, "caller");
    let recording = reactor.recording().expect("it was started");
    let places: Vec<_> = recording
        .records
        .iter()
        .filter_map(|record| match record.what {
            What::Accepted { endpoint, .. } | What::Connects { endpoint, .. } => Some(usize::from(endpoint)),
            _ => None,
        })
        .map(|endpoint| recording.endpoints[endpoint].name.as_str())
        .collect();
    assert_eq!(places, ["caller", "caller"], "the client and the outgoing connection");
    xray::stop();
}
