//! Services that a reload replaces: who drops them, whose ticks come, and who gets messages.

use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::reload::{connect, listeners, reload, server_of, turn};
use crate::kernel::Command;
use crate::protocol::{
    Acceptor, Context, DatagramProtocol, Dropped, NoOptions, Reply, Step, StreamProtocol, WhenFull, Within,
};
use crate::reactor::Turn;
use crate::registry::Registry;
use crate::schemars::{self, JsonSchema};
use crate::serde::{Deserialize, Serialize};

/// Where services have been dropped.
type Ends = Arc<Mutex<Vec<ThreadId>>>;

/// What a service holds. Its end could block.
struct Held(Ends);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.lock().expect("no panic").push(thread::current().id());
    }
}

/// A protocol over UDP that drops everything.
struct Deaf(#[expect(dead_code, reason = "only its end matters")] Held);

impl DatagramProtocol for Deaf {
    fn on_datagram(&mut self, _: &[u8], _: &mut Context<'_>) -> Result<(), Dropped> {
        Err(Dropped("never"))
    }
}

/// A member of the group `all`.
struct Member;

impl StreamProtocol for Member {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        assert_eq!(cx.join("all", WhenFull::Skip), Ok(()));
        Ok(Step::wait(Within::Nothing))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Named {
    name: String,
}

/// A registry with `held` over both transports, whose ends go to `ends`, and with `member`, whose services tick once a second and
/// say their names to `ticks`.
fn registry(ends: &Ends, ticks: &Arc<Mutex<Vec<String>>>) -> Registry {
    let mut registry = Registry::built_in();
    let over_tcp = Arc::clone(ends);
    registry.stream_with("held", "Holds something.", "true", move |_: NoOptions, _| {
        let held = Held(Arc::clone(&over_tcp));
        Ok(Acceptor::new(move |_| {
            let _ = &held;
            Member
        }))
    });
    let over_udp = Arc::clone(ends);
    registry.datagram_fn("deaf", "Holds something.", "true", move || Deaf(Held(Arc::clone(&over_udp))));
    let ticks = Arc::clone(ticks);
    registry.stream_with("member", "Joins.", "true", move |Named { name }, _| {
        let ticks = Arc::clone(&ticks);
        let tick = move |_, _: &_| ticks.lock().expect("no panic").push(name.clone());
        Ok(Acceptor::new(|_| Member).tick(Duration::from_secs(1), tick))
    });
    registry
}

fn listener(listen: &str, protocol: &str) -> String {
    format!(r#"{{ "listen": "{listen}", "protocol": "{protocol}" }}"#)
}

/// A listener of `member` with a name for its service, and an `idle_timeout` in hours.
fn member(name: &str, hours: u32) -> String {
    let members = format!(r#""options": {{ "name": "{name}" }}, "limits": {{ "idle_timeout": "{hours}h" }}"#);
    listeners(&[&format!(r#"{{ "name": "m", "listen": "tcp://127.0.0.1:1", "protocol": "member", {members} }}"#)])
}

#[test]
fn a_worker_drops_each_service_that_a_reload_replaces_or_gives_up() {
    let (ends, ticks) = (Ends::default(), Arc::default());
    let ended = |count| {
        let mut ends = ends.lock().expect("no panic");
        assert_eq!(ends.len(), count);
        ends.drain(..).for_each(|thread| assert_ne!(thread, thread::current().id(), "the loop's thread"));
    };
    let (tcp, udp) = ("tcp://127.0.0.1:1", "udp://127.0.0.1:1");
    let held = [listener(tcp, "held"), listener(udp, "deaf")];
    let others = [listener(tcp, "time"), listener(udp, "sum")];
    let list = |of: &[String]| listeners(&of.iter().map(String::as_str).collect::<Vec<_>>());
    let (mut reactor, file) = server_of(registry(&ends, &ticks), &list(&held));
    assert!(reload(&mut reactor, &file, &list(&others)), "another protocol");
    ended(2);
    let (door, more) = (listener("tcp://127.0.0.1:2", "held"), listener("udp://127.0.0.1:2", "deaf"));
    for step in 1..=4 {
        (reactor.kernel.steps, reactor.kernel.fails_at) = (0, Some(step));
        let new = list(&[held[0].clone(), held[1].clone(), door.clone(), more.clone()]);
        assert!(!reload(&mut reactor, &file, &new), "step {step} fails");
        ended(4);
    }
    assert!(reload(&mut reactor, &file, &list(&[others[0].clone(), door.clone(), more])));
    assert!(reload(&mut reactor, &file, &list(&others[..1])), "removed");
    ended(2);
    assert!(reload(&mut reactor, &file, &list(&[others[0].clone(), door])));
    // The loop goes on until this connection has closed.
    connect(&mut reactor, "held-tcp");
    *file.lock().expect("a text") = list(&held);
    reactor.kernel.asks(Command::Reload);
    reactor.kernel.asks(Command::Stop);
    while reactor.turn(Some(Duration::ZERO)).expect("it cannot fail") == Turn::Running {}
    drop(reactor.kernel.run_jobs());
    ended(2);
}

#[test]
fn after_a_reload_the_new_service_ticks_and_the_old_does_not() {
    let ticks = Arc::default();
    let (mut reactor, file) = server_of(registry(&Ends::default(), &ticks), &member("old", 1));
    let seconds = |reactor: &mut _, expected: &[&str]| {
        let reactor: &mut crate::reactor::Reactor<super::fake::Fake> = reactor;
        for _ in 0..3 {
            reactor.kernel.now += Duration::from_secs(1);
            turn(reactor);
        }
        assert_eq!(std::mem::take(&mut *ticks.lock().expect("no panic")), expected);
    };
    connect(&mut reactor, "m");
    seconds(&mut reactor, &["old"; 3]);
    assert!(reload(&mut reactor, &file, &member("old", 2)), "only a limit");
    seconds(&mut reactor, &["old"; 3]);
    assert!(reload(&mut reactor, &file, &member("new", 2)), "another service");
    seconds(&mut reactor, &["new"; 3]);
    assert!(reload(&mut reactor, &file, &listeners(&[&listener("tcp://127.0.0.1:2", "time")])), "removed");
    seconds(&mut reactor, &[]);
}

#[test]
fn connections_share_groups_as_long_as_their_service_is_the_same() {
    let (mut reactor, file) = server_of(registry(&Ends::default(), &Arc::default()), &member("old", 1));
    let old = reactor.endpoints()[0].sender();
    connect(&mut reactor, "m");
    assert!(reload(&mut reactor, &file, &member("old", 2)), "only a limit");
    connect(&mut reactor, "m");
    old.cast("all", "x").expect("there is room");
    turn(&mut reactor);
    assert_eq!(reactor.endpoints()[0].stats().messages, 2, "both versions are in the group");

    assert!(reload(&mut reactor, &file, &member("new", 2)), "only an option");
    connect(&mut reactor, "m");
    reactor.endpoints()[0].sender().cast("all", "x").expect("there is room");
    turn(&mut reactor);
    assert_eq!(reactor.endpoints()[0].stats().messages, 3, "the new service has one connection");
    old.cast("all", "x").expect("its connections are open");
    turn(&mut reactor);
    assert_eq!(reactor.endpoints()[0].stats().messages, 5, "the old one still has its two");
}
