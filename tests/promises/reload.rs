//! Reloading on SIGHUP: all or nothing, and no client notices.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Ended, Process, eventually, listener, listener_with, number_after, refusing};

/// A server with a file, and how often it was asked to read it again.
pub(crate) struct Reloaded {
    pub(crate) process: Process,
    asked: usize,
}

impl Reloaded {
    pub(crate) fn start(config: &Value) -> Self {
        Self { process: Process::start(config), asked: 0 }
    }

    /// Writes the text to the file, and waits until the server has read it. Returns what it logged.
    #[track_caller]
    fn read_text(&mut self, text: &str) -> String {
        let before = self.process.log().len();
        fs::write(self.process.directory().path().join("reactor.json"), text).unwrap();
        self.process.signal(Signal::SIGHUP);
        self.asked += 1;
        let ends = |log: &str| log.matches("reload: done").count() + log.matches("reload: failed").count();
        eventually("the reload ends", || ends(&self.process.log()) == self.asked);
        self.process.log()[before..].to_owned()
    }

    #[track_caller]
    pub(crate) fn accepts(&mut self, config: &Value) -> String {
        let log = self.read_text(&config.to_string());
        assert!(log.contains("reload: done"), "{log}");
        log
    }

    #[track_caller]
    pub(crate) fn rejects(&mut self, text: &str) -> String {
        let log = self.read_text(text);
        assert!(log.contains("reload: failed; everything stays as it was"), "{log}");
        log
    }
}

/// Asks a listener of `sum` over a connection of its own.
fn asks(address: SocketAddr) -> std::io::Result<()> {
    let mut client = Client::over(TcpStream::connect(address)?);
    client.send(r#"{"A":7,"B":4}"#);
    let answer = client.try_rest_after_fin()?;
    assert_eq!(answer, b"{\"Sum\":11}\n");
    Ok(())
}

#[test]
fn forty_reloads_with_every_fifth_broken_cost_no_client_and_no_count() {
    let (_taken, taken) = refusing();
    let config = |number: usize, broken: bool| {
        let greeting = json!({ "options": { "text": format!("version {number}\n") } });
        let sum = json!({ "limits": { "idle_timeout": format!("{}s", 30 + number) }, "backlog": 100 + number });
        let mut listeners = vec![listener_with("sum", &sum), listener_with("greeting", &greeting)];
        if number % 2 == 1 {
            listeners.insert(0, listener("time", "tcp"));
            listeners.push(listener("sum", "udp"));
        }
        if broken {
            listeners.push(json!({ "protocol": "time", "name": "broken", "listen": format!("tcp://{taken}") }));
        }
        json!({ "listeners": listeners })
    };
    let mut server = Reloaded::start(&config(0, false));
    let (sum, greeting) = (server.process.address("sum-tcp"), server.process.address("greeting-tcp"));
    let (over, served) = (Ended::default(), AtomicU64::new(0));
    thread::scope(|scope| {
        let _end = over.at_the_end();
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.has_ended() {
                    asks(sum).unwrap();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut in_force = 0;
        for number in 1..=40 {
            let before = served.load(Ordering::Relaxed);
            if number % 5 == 0 {
                let text = match number % 4 {
                    0 => config(number, true).to_string(),
                    1 => "{".to_owned(),
                    2 => config(number, false).to_string().replace("\"sum\"", "\"smu\""),
                    _ => config(number, false).to_string().replace("idle_timeout", "idle_timeuot"),
                };
                server.rejects(&text);
            } else {
                server.accepts(&config(number, false));
                in_force = number;
            }
            assert_eq!(ask_greeting(greeting), format!("version {in_force}\n"));
            eventually("clients are served", || served.load(Ordering::Relaxed) > before);
        }
    });
    let served = served.load(Ordering::Relaxed);
    assert_eq!(server.process.counter("sum-tcp", "accepted"), served);
    assert_eq!(server.process.counter("greeting-tcp", "accepted"), 40);
    let (status, log) = {
        server.process.signal(Signal::SIGTERM);
        server.process.wait()
    };
    assert_eq!(status.code(), Some(0), "{log}");
    let last = log.lines().rfind(|line| line.contains("] sum-tcp sum ")).unwrap();
    assert_eq!(number_after(last, "bytes in"), 13 * served, "{last}");
}

/// Connects to a listener of `greeting`, and returns its greeting.
fn ask_greeting(address: SocketAddr) -> String {
    let mut client = Client::connect(address);
    client.send("hello");
    client.finish();
    String::from_utf8(client.rest()).unwrap()
}

#[test]
fn a_connection_keeps_the_limits_with_which_it_was_accepted() {
    let limited =
        |idle: &str| json!({ "listeners": [listener_with("sum", &json!({ "limits": { "idle_timeout": idle } }))] });
    let mut server = Reloaded::start(&limited("1h"));
    let address = server.process.address("sum-tcp");
    let mut old = Client::connect(address);
    old.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    let log = server.accepts(&limited("100ms"));
    assert!(log.contains("reload: sum-tcp: idle_timeout 1h -> 100ms"), "{log}");
    let mut new = Client::connect(address);
    new.send("{");
    assert_eq!(new.rest(), b"", "its idle_timeout is the new one");
    drop(new);
    eventually("it is closed", || server.process.counter("sum-tcp", "open") == 1);
    assert_eq!(server.process.counter("sum-tcp", "accepted"), 2, "of both versions together");
    old.ask(r#""B":2}"#, "{\"Sum\":3}\n");
    // A third version: the first connection lives on, and its bytes are counted.
    server.accepts(&limited("2h"));
    old.ask(r#"{"A":1,"B":1}"#, "{\"Sum\":2}\n");
    old.finish();
    assert_eq!(old.rest(), b"");
    eventually("all are closed", || server.process.counter("sum-tcp", "open") == 0);
    assert_eq!(server.process.counter("sum-tcp", "bytes in"), 13 + 7 + 6 + 13 + 1);
}

#[test]
fn connections_of_older_versions_count_for_max_connections() {
    let limited =
        |most: usize| json!({ "listeners": [listener_with("sum", &json!({ "limits": { "max_connections": most } }))] });
    let mut server = Reloaded::start(&limited(3));
    let address = server.process.address("sum-tcp");
    let old: Vec<_> = (0..2).map(|_| Client::connect(address)).collect();
    eventually("both are accepted", || server.process.counter("sum-tcp", "open") == 2);
    server.accepts(&limited(1));
    let mut waits = Client::connect(address);
    waits.send(r#"{"A":7,"B":4}"#);
    eventually("accepting is paused", || server.process.counter("sum-tcp", "accept paused") > 0);
    assert_eq!(server.process.counter("sum-tcp", "open"), 2, "the limit ends no connection");
    server.accepts(&limited(3));
    waits.expect("{\"Sum\":11}\n");
    drop(old);
}

#[test]
fn a_removed_listener_finishes_requests_and_closes() {
    let both = json!({ "listeners": [listener("uppercase", "tcp"), listener("sum", "tcp"), listener("sum", "udp")] });
    let mut server = Reloaded::start(&both);
    let address = server.process.address("sum-tcp");
    let mut stays = Client::connect(server.process.address("uppercase-tcp"));
    stays.ask("a", "A");
    let [mut idle, mut busy] = [0; 2].map(|_| Client::connect(address));
    idle.ask(r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");
    busy.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    let log = server.accepts(&json!({ "listeners": [listener("uppercase", "tcp")] }));
    assert!(log.contains("reload: sum-tcp: removed tcp://127.0.0.1:0"), "{log}");
    assert!(log.contains("reload: sum-udp: removed udp://127.0.0.1:0"), "{log}");
    assert_eq!(idle.rest(), b"", "it was between two requests");
    eventually("its port is free", || TcpListener::bind(address).is_ok());
    busy.send(r#""B":2}"#);
    assert_eq!(busy.rest(), b"{\"Sum\":3}\n");
    stays.ask("b", "B");
    // Added again, it is another listener, which counts from zero.
    let log = server.accepts(&both);
    assert!(log.contains("reload: sum-tcp: added sum tcp://127.0.0.1:0"), "{log}");
}

#[test]
fn requests_of_a_removed_listener_have_the_new_shutdown_timeout() {
    let config = |timeout: &str, listeners: Value| json!({ "listeners": listeners, "shutdown_timeout": timeout });
    let mut server = Reloaded::start(&config("1h", json!([listener("uppercase", "tcp"), listener("sum", "tcp")])));
    let mut busy = Client::connect(server.process.address("sum-tcp"));
    busy.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    let mut stays = Client::connect(server.process.address("uppercase-tcp"));
    stays.ask("a", "A");
    server.accepts(&config("300ms", json!([listener("uppercase", "tcp")])));
    busy.try_rest().unwrap_err();
    stays.ask("b", "B");
}

#[test]
fn an_address_that_cannot_be_bound_leaves_everything_as_it_was() {
    let (_taken, taken) = refusing();
    let uppercase = listener("uppercase", "tcp");
    let mut server = Reloaded::start(&json!({ "listeners": [uppercase] }));
    let address = server.process.address("uppercase-tcp");
    let mut client = Client::connect(address);
    let broken = |name: &str| json!({ "protocol": "sum", "name": name, "listen": format!("tcp://{taken}") });
    let other = listener_with("greeting", &json!({ "name": "fine" }));
    let config = json!({ "listeners": [other, broken("bad"), listener_with("file", &json!({ "options": { "directory": "reactor.json" } }))] });
    let log = server.rejects(&config.to_string());
    assert!(log.contains("file-tcp: cannot use the directory reactor.json"), "{log}");
    let descriptors = server.process.descriptors();
    let config = json!({ "listeners": [other, broken("bad"), listener("time", "tcp")] });
    let log = server.rejects(&config.to_string());
    assert!(log.contains(&format!("reload: bad: cannot listen on tcp://{taken}: Address already in use")), "{log}");
    eventually("what was bound is closed", || server.process.descriptors() == descriptors);
    client.ask("a", "A");
    Client::connect(address).ask("b", "B");
    assert_eq!(server.process.counters().len(), 1, "no other listener");
}

#[test]
fn each_mistake_is_logged_as_check_prints_it() {
    let mut server = Reloaded::start(&json!({ "listeners": [listener("uppercase", "tcp")] }));
    let log = server.rejects("{ \"listeners\": [{ \"protocol\": \"smu\" }],\n\"workers\": 0 }");
    for problem in [
        "reload: reactor.json:1:17: listeners[0]: missing member \"listen\"",
        "reload: reactor.json:1:31: listeners[0].protocol: unknown protocol \"smu\"; did you mean \"sum\"?",
        "reload: reactor.json:2:12: workers: expected more than zero, found 0",
    ] {
        assert!(log.contains(problem), "{log}");
    }
    fs::remove_file(server.process.directory().path().join("reactor.json")).unwrap();
    server.process.signal(Signal::SIGHUP);
    eventually("it says so", || server.process.log().contains("reload: cannot read reactor.json: No such file"));
}

#[test]
fn what_cannot_be_changed_while_it_runs_is_named() {
    let with = |members: &Value| {
        let mut udp = listener("sum", "udp");
        udp.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!({ "listeners": [listener("uppercase", "tcp"), udp] })
    };
    let mut server = Reloaded::start(&with(&json!({ "receive_buffer": "64KiB" })));
    let log = server.rejects(&with(&json!({ "reuse_port": true })).to_string());
    for named in ["sum-udp: reuse_port cannot be changed", "sum-udp: receive_buffer cannot be removed"] {
        assert!(log.contains(named), "{log}");
    }
    server.accepts(&with(&json!({ "receive_buffer": "32KiB" })));
}

#[test]
fn a_listener_that_shows_the_server_to_other_machines_is_warned_of_once() {
    let with = |listen: &str, idle: &str| {
        let limits = json!({ "limits": { "idle_timeout": idle } });
        let admin = json!({ "name": "admin", "protocol": "admin", "listen": listen });
        json!({ "listeners": [listener_with("sum", &limits), admin] })
    };
    let mut server = Reloaded::start(&with("tcp://127.0.0.1:0", "30s"));
    let warning = "reload: admin: other machines may reach tcp://0.0.0.0:0, where admin shows counters";
    for (listen, idle, warnings) in
        [("tcp://127.0.0.1:0", "31s", 0), ("tcp://0.0.0.0:0", "31s", 1), ("tcp://0.0.0.0:0", "32s", 0)]
    {
        let log = server.accepts(&with(listen, idle));
        assert_eq!(log.matches(warning).count(), warnings, "{listen} {idle}: {log}");
    }
}

#[test]
fn a_server_without_a_file_has_nothing_to_reload_and_goes_on() {
    let process = Process::listen(&["uppercase=tcp://127.0.0.1:0"]);
    process.signal(Signal::SIGHUP);
    eventually("it says so", || process.log().contains("there is nothing to reload"));
    Client::connect(process.address("uppercase-tcp")).ask("a", "A");
}

#[test]
fn a_reload_during_a_stop_is_ignored_and_ends_nothing() {
    let process = Process::start(&json!({ "listeners": [listener("sum", "tcp")], "shutdown_timeout": "1h" }));
    let mut busy = Client::connect(process.address("sum-tcp"));
    busy.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    process.signal(Signal::SIGTERM);
    eventually("it stops", || process.log().contains("stopping:"));
    for _ in 0..20 {
        process.signal(Signal::SIGHUP);
    }
    eventually("it says so", || process.log().contains("reload: ignored, because the server is stopping"));
    busy.send(r#""B":2}"#);
    assert_eq!(busy.rest(), b"{\"Sum\":3}\n");
    assert_eq!(process.wait().0.code(), Some(0));
}

#[test]
fn a_storm_of_sighup_is_a_few_reloads_one_after_the_other() {
    let mut server = Reloaded::start(&json!({ "listeners": [listener("uppercase", "tcp")] }));
    for _ in 0..1000 {
        server.process.signal(Signal::SIGHUP);
    }
    eventually("it reloads", || server.process.log().contains("reload: done; 0 differences"));
    Client::connect(server.process.address("uppercase-tcp")).ask("a", "A");
    assert!(server.process.is_running());
    assert!(server.process.threads_named("reactor-worker") <= 4);
    server.process.signal(Signal::SIGTERM);
    let (status, log) = server.process.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    let reloads = log.matches("reload: done").count();
    assert!(reloads < 1000, "signals during a reload are one more: {reloads}");
}

#[test]
fn a_reload_that_changes_the_log_is_refused_and_says_so() {
    let with = |log: Value| json!({ "listeners": [listener("uppercase", "tcp")], "log": log });
    let mut server = Reloaded::start(&with(json!({ "access": "errors" })));
    for log in [json!({ "access": "all" }), json!({ "access": "errors", "file": "other.log" }), json!({})] {
        let log = server.rejects(&with(log).to_string());
        assert!(log.contains("reload: log: cannot be changed while the server runs"), "{log}");
    }
    assert!(!server.process.directory().names().contains(&"other.log".to_owned()));
    server.accepts(&with(json!({ "access": "errors" })));
}

#[test]
fn a_log_format_on_the_command_line_is_not_a_difference() {
    let with = |format: &str| json!({ "listeners": [listener("uppercase", "tcp")], "log": { "format": format } });
    let process = Process::with(&[], &["--log-format", "json"], &with("text"));
    let mut server = Reloaded { process, asked: 0 };
    for format in ["text", "auto"] {
        let log = server.accepts(&with(format));
        assert!(log.contains("reload: done; 0 differences"), "{log}");
    }
}
