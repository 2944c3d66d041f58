//! Reloads on a kernel that fails at each step in turn, and many of them in a row.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::{Reactor, Turn};
use super::fake::{Fake, readable};
use crate::config::Config;
use crate::kernel::{Command, Token};
use crate::limits::{Limits, RETIRED_ENDPOINTS_MAX};
use crate::registry::Registry;
use crate::simulation::random::Random;

/// The text that the next reload reads.
pub(super) type File = Arc<Mutex<String>>;

/// Starts a server with this configuration, and returns it with its file.
fn server(text: &str) -> (Reactor<Fake>, File) {
    server_of(Registry::built_in(), text)
}

/// Starts a server with these protocols.
pub(super) fn server_of(registry: Registry, text: &str) -> (Reactor<Fake>, File) {
    let registry = Arc::new(registry);
    let config = Config::parse("test.json", text, &registry).expect("a configuration");
    let mut reactor = Reactor::with_kernel(Fake::new(), &config, &registry).expect("no step fails");
    let file = File::new(Mutex::new(text.to_owned()));
    let (read, protocols) = (Arc::clone(&file), Arc::clone(&registry));
    reactor.reload_with(registry, move || Config::parse("test.json", &read.lock().expect("a text"), &protocols));
    turn(&mut reactor);
    (reactor, file)
}

/// Turns a few times: events lead to visits, and visits to the next events.
pub(super) fn turn(reactor: &mut Reactor<Fake>) {
    for _ in 0..5 {
        reactor.turn(Some(Duration::ZERO)).expect("it cannot fail");
        reactor.census().expect("all rules are kept");
    }
}

/// Reloads. Returns whether the new configuration is in force.
pub(super) fn reload(reactor: &mut Reactor<Fake>, file: &File, text: &str) -> bool {
    text.clone_into(&mut file.lock().expect("a text"));
    let before = reactor.reloads();
    reactor.kernel.asks(Command::Reload);
    turn(reactor);
    let after = reactor.reloads();
    assert_eq!(after.done + after.failed, before.done + before.failed + 1);
    after.done > before.done
}

pub(super) fn listeners(list: &[&str]) -> String {
    format!(r#"{{ "listeners": [{}] }}"#, list.join(","))
}

/// What a failed reload must not change.
fn snapshot(reactor: &Reactor<Fake>) -> String {
    let endpoints = reactor.endpoints.iter().map(|endpoint| (format!("{endpoint}"), endpoint.limits.clone()));
    let slots = reactor.slots.iter().map(|(key, slot)| (key, slot.generation, slot.endpoint));
    format!(
        "{:?} {:?} {:?} {:?} {:?}",
        endpoints.collect::<Vec<_>>(),
        slots.collect::<Vec<_>>(),
        reactor.kernel.open,
        reactor.in_force.config,
        reactor.totals
    )
}

/// Opens a connection to a listener, and returns its token.
pub(super) fn connect(reactor: &mut Reactor<Fake>, name: &str) -> Token {
    let endpoint = reactor.endpoints().iter().find(|endpoint| endpoint.name() == name).expect("a listener");
    let (address, door) = (endpoint.address().expect("TCP"), endpoint.door);
    *reactor.kernel.queued.entry(address).or_default() += 1;
    reactor.kernel.notices.push(readable(door));
    turn(reactor);
    let newest = reactor.slots.iter().max_by_key(|(_, slot)| slot.generation).expect("a slot");
    newest.1.token(newest.0 as u32)
}

/// Ends a connection from the side of its peer.
fn disconnect(reactor: &mut Reactor<Fake>, who: Token) {
    reactor.kernel.peers[&who].set(true);
    turn(reactor);
}

#[test]
fn whichever_step_fails_everything_stays_as_it_was() {
    let old = listeners(&[
        r#"{ "name": "kept", "listen": "tcp://127.0.0.1:1", "protocol": "sum", "backlog": 10 }"#,
        r#"{ "name": "gone", "listen": "tcp://127.0.0.1:2", "protocol": "time" }"#,
        r#"{ "name": "udp", "listen": "udp://127.0.0.1:1", "protocol": "sum", "receive_buffer": "1KiB" }"#,
    ]);
    let new = listeners(&[
        r#"{ "name": "new", "listen": "tcp://127.0.0.1:3", "protocol": "time" }"#,
        r#"{ "name": "kept", "listen": "tcp://127.0.0.1:1", "protocol": "greeting", "backlog": 20 }"#,
        r#"{ "name": "new-udp", "listen": "udp://127.0.0.1:3", "protocol": "sum" }"#,
        r#"{ "name": "udp", "listen": "udp://127.0.0.1:1", "protocol": "sum", "receive_buffer": "2KiB" }"#,
        r#"{ "name": "newer", "listen": "tcp://127.0.0.1:4", "protocol": "uppercase" }"#,
    ]);
    let (mut reactor, file) = server(&old);
    connect(&mut reactor, "kept");
    let before = snapshot(&reactor);
    for step in 1..=5 {
        reactor.kernel.steps = 0;
        reactor.kernel.fails_at = Some(step);
        assert!(!reload(&mut reactor, &file, &new), "step {step}");
        assert_eq!(snapshot(&reactor), before, "step {step}");
    }
    reactor.kernel.steps = 0;
    reactor.kernel.fails_at = Some(6);
    assert!(reload(&mut reactor, &file, &new), "there are only five steps");
    let names: Vec<_> = reactor.endpoints().iter().map(|endpoint| endpoint.name().to_owned()).collect();
    assert_eq!(names, ["new", "kept", "new-udp", "udp", "newer"]);
    let options: Vec<_> = reactor.kernel.open.values().map(|(address, option)| (address.port(), *option)).collect();
    assert_eq!(options.len(), 5, "the removed listener is closed: {options:?}");
    assert!(options.contains(&(1, 20)) && options.contains(&(1, 2048)), "{options:?}");
}

#[test]
fn a_failed_reload_leaves_the_receive_buffer_that_the_kernel_has_chosen() {
    let udp = |members: &str| format!(r#"{{ "listen": "udp://127.0.0.1:1", "protocol": "sum"{members} }}"#);
    let other = r#"{ "listen": "tcp://127.0.0.1:2", "protocol": "sum" }"#;
    let (mut reactor, file) = server(&listeners(&[&udp("")]));
    let before = snapshot(&reactor);
    for step in 1..=2 {
        (reactor.kernel.steps, reactor.kernel.fails_at) = (0, Some(step));
        assert!(!reload(&mut reactor, &file, &listeners(&[&udp(r#", "receive_buffer": "2KiB""#), other])), "{step}");
        assert_eq!(snapshot(&reactor), before, "step {step}");
    }
}

#[test]
fn a_panic_of_the_reader_fails_the_reload_and_nothing_else() {
    let text = listeners(&[r#"{ "listen": "tcp://127.0.0.1:1", "protocol": "sum" }"#]);
    let (mut reactor, file) = server(&text);
    reactor.reload_with(Arc::new(Registry::built_in()), || -> Result<Config, String> {
        std::panic::resume_unwind(Box::new("on purpose"))
    });
    assert!(!reload(&mut reactor, &file, &text));
    connect(&mut reactor, "sum-tcp");
    assert_eq!(reactor.endpoints()[0].open_connections(), 1);
}

#[test]
fn reloads_that_are_asked_for_while_one_runs_are_one_more() {
    let text = listeners(&[r#"{ "listen": "tcp://127.0.0.1:1", "protocol": "sum" }"#]);
    let (mut reactor, _) = server(&text);
    let (reads, running) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, registry) = (Arc::clone(&reads), Registry::built_in());
    reactor.reload_with(Arc::new(Registry::built_in()), move || {
        assert_eq!(running.fetch_add(1, Ordering::SeqCst), 0, "never two at once");
        counted.fetch_add(1, Ordering::SeqCst);
        running.fetch_sub(1, Ordering::SeqCst);
        Config::parse("test.json", &text, &registry)
    });
    (0..5).for_each(|_| reactor.kernel.asks(Command::Reload));
    turn(&mut reactor);
    assert_eq!((reads.load(Ordering::SeqCst), reactor.reloads().done), (2, 2));
}

#[test]
fn a_reload_whose_job_ends_after_the_stop_began_changes_nothing() {
    let text = |port: u16| listeners(&[&format!(r#"{{ "listen": "tcp://127.0.0.1:{port}", "protocol": "sum" }}"#)]);
    let (mut reactor, file) = server(&text(1));
    *file.lock().expect("a text") = text(2);
    reactor.kernel.asks(Command::Reload);
    reactor.kernel.asks(Command::Stop);
    while reactor.turn(Some(Duration::ZERO)).expect("it cannot fail") == Turn::Running {}
    assert_eq!(reactor.reloads().done + reactor.reloads().failed, 0);
    assert_eq!(reactor.kernel.steps, 1, "only the first listener was ever bound");
}

/// A listener of `sum` on a port, with an `idle_timeout` in seconds.
fn timed(port: u16, seconds: u64) -> String {
    format!(
        r#"{{ "name": "{port}", "listen": "tcp://127.0.0.1:{port}", "protocol": "sum", "limits": {{ "idle_timeout": "{seconds}s" }} }}"#
    )
}

#[test]
fn the_number_of_versions_with_connections_is_bounded() {
    let (mut reactor, file) = server(&listeners(&[&timed(1, 1000)]));
    let mut connections = Vec::new();
    for number in 1..=RETIRED_ENDPOINTS_MAX as u64 {
        connections.push(connect(&mut reactor, "1"));
        assert!(reload(&mut reactor, &file, &listeners(&[&timed(1, 1000 + number)])), "{number}");
    }
    connections.push(connect(&mut reactor, "1"));
    let another = listeners(&[&timed(1, 1)]);
    assert!(!reload(&mut reactor, &file, &another), "one too many");
    assert_eq!(reactor.endpoints()[0].open_connections(), RETIRED_ENDPOINTS_MAX + 1);
    disconnect(&mut reactor, connections[7]);
    assert!(reload(&mut reactor, &file, &another), "a version has no connection any more");
    assert_eq!(reactor.endpoints.len(), RETIRED_ENDPOINTS_MAX + 1, "its place is used again");
}

#[test]
fn listeners_without_connections_may_all_change_or_go_at_once() {
    let many = |seconds: u64| {
        let list: Vec<_> = (1..=RETIRED_ENDPOINTS_MAX as u16 + 1).map(|port| timed(port, seconds)).collect();
        listeners(&list.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (mut reactor, file) = server(&many(1000));
    assert!(reload(&mut reactor, &file, &many(1001)), "no connection keeps an old limit");
    assert!(reload(&mut reactor, &file, &listeners(&[&timed(1000, 1)])), "no connection is left");
    assert!(reload(&mut reactor, &file, &many(1001)), "and none keeps a place");
    let last = RETIRED_ENDPOINTS_MAX + 1;
    let connections: Vec<_> = (1..=last).map(|port| connect(&mut reactor, &port.to_string())).collect();
    assert!(!reload(&mut reactor, &file, &many(1002)), "each has a connection now");
    disconnect(&mut reactor, connections[0]);
    assert!(reload(&mut reactor, &file, &many(1002)));
}

fn bound_ports(reactor: &Reactor<Fake>) -> Vec<u16> {
    reactor.endpoints().iter().map(|endpoint| endpoint.address().expect("TCP").port()).collect()
}

#[test]
fn after_any_reloads_connections_keep_limits_and_listeners_keep_counts() {
    let mut random = Random::new(16);
    let (mut reactor, file) = server(&listeners(&[&timed(1, 1000), &timed(2, 1000)]));
    let mut limits: BTreeMap<u32, (Token, Limits)> = BTreeMap::new();
    for _ in 0..400 {
        let ports: Vec<u16> = (1..=4).filter(|_| random.strikes(800)).collect();
        let list: Vec<_> = ports.iter().map(|port| timed(*port, 1000 + random.within(0..3) as u64)).collect();
        let removed = bound_ports(&reactor).iter().any(|port| !ports.contains(port));
        let accepted: BTreeMap<_, _> =
            reactor.endpoints().iter().map(|endpoint| (endpoint.address(), endpoint.stats().accepted)).collect();
        reactor.kernel.steps = 0;
        reactor.kernel.fails_at = random.strikes(300).then_some(1);
        let is_done = !list.is_empty()
            && reload(&mut reactor, &file, &listeners(&list.iter().map(String::as_str).collect::<Vec<_>>()));
        for endpoint in reactor.endpoints() {
            if let Some(accepted) = accepted.get(&endpoint.address()) {
                assert_eq!(endpoint.stats().accepted, *accepted, "counters never start again");
            }
        }
        // Idle connections of a removed listener close.
        limits.retain(|_, (who, _)| !(is_done && removed) || reactor.slot(*who).is_some());
        for _ in 0..random.within(0..3) {
            let name = random.pick(&bound_ports(&reactor));
            let who = connect(&mut reactor, &name.to_string());
            let kept = reactor.endpoints[reactor.slots[who.slot as usize].endpoint].limits.clone();
            limits.insert(who.generation, (who, kept));
        }
        if random.flip()
            && let Some(generation) = limits.keys().nth(random.within(0..limits.len().max(1))).copied()
            && let Some((who, _)) = limits.remove(&generation)
        {
            disconnect(&mut reactor, who);
            assert!(reactor.slot(who).is_none());
        }
        for (who, kept) in limits.values() {
            let slot = reactor.slot(*who).expect("it has not ended");
            let index = slot.endpoint;
            assert_eq!(&reactor.endpoints[index].limits, kept);
        }
        let open: usize = reactor.endpoints().iter().map(|endpoint| endpoint.open_connections()).sum();
        assert_eq!(open, limits.len());
    }
    limits.into_values().for_each(|(who, _)| disconnect(&mut reactor, who));
    let retired = reactor.endpoints.iter().skip(reactor.endpoints().len());
    assert!(retired.into_iter().all(|endpoint| endpoint.service.is_none()), "what is not needed is closed");
    assert!(reactor.reloads().done > 100 && reactor.reloads().failed > 50, "{:?}", reactor.reloads());
}

#[test]
fn only_connections_that_a_limit_has_counted_free_its_places() {
    let with = |limits: &str| {
        listeners(&[&format!(
            r#"{{ "name": "1", "listen": "tcp://127.0.0.1:1", "protocol": "sum", "limits": {{ {limits} }} }}"#
        )])
    };
    let (mut reactor, file) = server(&with(""));
    let refused = |reactor: &Reactor<Fake>| reactor.endpoints()[0].stats().refused.count("max_connections_per_ip");
    let uncounted = connect(&mut reactor, "1");
    assert!(reload(&mut reactor, &file, &with(r#""max_connections_per_ip": 1"#)));
    let by_address = connect(&mut reactor, "1");
    disconnect(&mut reactor, uncounted);
    connect(&mut reactor, "1");
    assert_eq!(refused(&reactor), 1, "an uncounted connection frees no place");
    assert!(reload(&mut reactor, &file, &with(r#""max_connections_per_ip": 1, "ip_prefix_v4": 24"#)));
    let by_network = connect(&mut reactor, "1");
    connect(&mut reactor, "1");
    assert_eq!(refused(&reactor), 2);
    for counted in [by_address, by_network] {
        disconnect(&mut reactor, counted);
    }
    assert!(reactor.endpoints[0].peers.is_empty());
}
