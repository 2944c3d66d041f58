//! I and J: starting, stopping, signals, and permissions.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Process, SUM, Scratch, Trial, ask, eventually, listener, listener_with};

const HALF: usize = 50_000;

#[test]
fn case_82_at_a_stop_an_upload_is_complete_in_time_or_leaves_nothing() {
    const UPLOADS: usize = 40;
    let directory = Scratch::new();
    let into = json!({ "options": { "directory": directory.path() } });
    let config = json!({ "listeners": [listener_with("file-sized", &into), listener("uppercase", "tcp")],
        "shutdown_timeout": "2s" });
    let server = Process::start(&config);
    let mut witness = Client::connect(server.address("uppercase-tcp"));
    witness.ask("here", "HERE");
    let mut uploads: Vec<_> = (0..UPLOADS).map(|_| Client::connect(server.address("file-sized-tcp"))).collect();
    for (number, upload) in uploads.iter_mut().enumerate() {
        upload.ask(format!("{number}\n{}\n", 2 * HALF), "OK\nOK\n");
        upload.send(vec![b'1'; HALF]);
    }
    let start = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(witness.rest(), b"");
    let stuck = uploads.split_off(UPLOADS / 2);
    for mut upload in uploads {
        upload.send(vec![b'1'; HALF]);
        assert_eq!(upload.rest(), b"OK\n");
    }
    let (status, log) = server.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    // They are cut after nine tenths of the time, so that the server has ended within it.
    assert!((Duration::from_millis(1800)..Duration::from_secs(20)).contains(&start.elapsed()), "{:?}", start.elapsed());
    drop(stuck);
    let mut expected: Vec<_> = (0..UPLOADS / 2).map(|number| number.to_string()).collect();
    expected.sort();
    assert_eq!(directory.names(), expected);
    assert!(expected.iter().all(|name| directory.contents(name) == vec![b'1'; 2 * HALF]));
}

#[test]
fn case_83_a_connection_in_the_accept_queue_at_the_stop_is_served() {
    let server = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
    let address = server.address("sum-tcp");
    server.pause();
    let mut clients: Vec<_> = (0..300).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send(SUM.0);
    }
    server.signal(Signal::SIGTERM);
    server.resume();
    for client in &mut clients {
        assert_eq!(client.rest(), SUM.1.as_bytes());
    }
    drop(clients);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn case_86_a_storm_of_signals_loses_no_stop() {
    let trial = Trial::start(&[listener("sum", "tcp")]);
    for number in 0..3000 {
        trial.signal(if number % 2 == 0 { Signal::SIGUSR1 } else { Signal::SIGPIPE });
    }
    assert_eq!(ask(trial.address("sum-tcp"), &[SUM.0]), SUM.1.as_bytes());
    let process = trial.end();
    process.signal(Signal::SIGUSR1);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().0.code(), Some(0));
}

#[test]
fn case_86_a_stop_at_any_moment_is_obeyed() {
    for round in 0..10 {
        let server = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
        let mut client = Client::connect(server.address("sum-tcp"));
        for _ in 0..round * 7 {
            client.ask(SUM.0, SUM.1);
        }
        client.send(SUM.0);
        server.signal(Signal::SIGINT);
        client.expect(SUM.1);
        assert_eq!(client.rest(), b"");
        drop(client);
        assert_eq!(server.wait().0.code(), Some(0), "round {round}");
    }
}

/// Runs `reactor`, which must end by itself.
fn run(directory: &Scratch, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_reactor")).args(arguments).current_dir(directory.path()).output().unwrap()
}

#[test]
fn case_87_an_invalid_configuration_is_reported_and_starts_nothing() {
    let scratch = Scratch::new();
    let file = scratch.path().join("reactor.json");
    let good = r#"{ "listen": "tcp://127.0.0.1:0", "protocol": "sum" }"#;
    let wrong = [
        r"".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{ "listeners": [] }"#.to_owned(),
        format!(r#"{{ "listeners": [{good}, {{ "listen": "tcp://127.0.0.1:65536", "protocol": "sum" }}] }}"#),
        format!(r#"{{ "listeners": [{good}, {{ "listen": "tcp://127.0.0.1:0", "protocol": 7 }}] }}"#),
        format!(r#"{{ "listeners": [{good}], "limits": {{ "max_connections": 0 }} }}"#),
        format!(r#"{{ "listeners": [{good}], "limts": {{}} }}"#),
        "[".repeat(100_000),
    ];
    for text in wrong {
        fs::write(&file, &text).unwrap();
        let output = run(&scratch, &["-c", "reactor.json"]);
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0), "{told}");
        assert!(told.starts_with("reactor.json:"), "{told}");
    }
    // A sparse file of a gibibyte, and directories in place of files.
    fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let start = Instant::now();
    for what in ["reactor.json", ".", "missing.json"] {
        let output = run(&scratch, &["-c", what]);
        assert!([Some(65), Some(66)].contains(&output.status.code()), "{what}: {output:?}");
        assert!(output.stderr.len() < 1000, "{what}");
    }
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(scratch.names(), ["reactor.json"]);
}

#[test]
fn case_87_a_pipe_as_configuration_is_refused_without_waiting() {
    let scratch = Scratch::new();
    assert!(Command::new("mkfifo").arg(scratch.path().join("pipe")).status().unwrap().success());
    let output = run(&scratch, &["check", "-c", "pipe"]);
    assert_eq!(output.status.code(), Some(66), "{output:?}");
}

#[test]
fn case_88_an_address_in_use_is_reported_and_no_other_stays_bound() {
    let scratch = Scratch::new();
    let taken = TcpListener::bind("127.88.0.1:0").unwrap();
    let free = TcpListener::bind("127.88.0.2:0").unwrap().local_addr().unwrap();
    let address = taken.local_addr().unwrap();
    let output =
        run(&scratch, &["--listen", &format!("sum=tcp://{free}"), "--listen", &format!("time=tcp://{address}")]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(69), 0), "{told}");
    assert!(told.contains(&format!("time-tcp: cannot listen on tcp://{address}")), "{told}");
    TcpListener::bind(free).unwrap();
}

#[test]
fn case_89_after_a_kill_it_restarts_on_its_address_and_sweeps_left_overs() {
    let scratch = Scratch::new();
    let address = TcpListener::bind("127.89.0.1:0").unwrap().local_addr().unwrap();
    let options = json!({ "directory": scratch.path() });
    let file = json!({ "protocol": "file-sized", "listen": format!("tcp://{address}"), "options": options });
    let config = json!({ "listeners": [file] });
    for round in 0..10 {
        fs::write(scratch.path().join(format!(".reactor-{round:016x}.tmp")), "left behind").unwrap();
        let server = Process::start(&config);
        let answer = ask(address, &[format!("{round}\n1\nx{round}\n9\nhalf")]);
        assert!(answer.starts_with(b"OK\nOK\nOK\nOK\n") || answer.starts_with(b"OK\nOK\nOK\nerror"), "{answer:?}");
        let mut cut = Client::connect(address);
        cut.ask(format!("cut{round}\n9\n"), "OK\nOK\n");
        // SIGKILL ends the server and its connections.
        drop(server);
        assert!(cut.try_rest().is_err() || cut.try_rest().is_ok_and(|rest| rest.is_empty()));
    }
    let names = scratch.names();
    assert_eq!(names, (0..10).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[test]
fn case_93_by_default_it_listens_on_loopback_only() {
    let output = run(&Scratch::new(), &["check"]);
    let config: Value = serde_json::from_slice(&output.stdout).unwrap();
    for listener in config["listeners"].as_array().unwrap() {
        assert!(listener["listen"].as_str().unwrap().contains("://127.0.0.1:"), "{listener}");
    }
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reliability.md")).unwrap();
    assert!(readme.contains("no TLS"));
}

/// The version of a dependency in `Cargo.lock`, as numbers.
fn version(name: &str) -> Vec<u32> {
    let lock = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap();
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
    rest.split('"').next().unwrap().split('.').map(|part| part.parse().unwrap()).collect()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn case_95_one_unsafe_module_no_silent_overflow_no_known_vulnerability() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let allowed = files_below(concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref())
        .into_iter()
        .filter(|path| fs::read_to_string(path).unwrap().contains("(unsafe_code)"));
    assert_eq!(allowed.collect::<Vec<_>>(), [Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernel/udp/mmsg.rs")]);
    for line in ["unsafe_code = \"deny\"", "overflow-checks = true", "unwrap_used = \"warn\""] {
        assert!(manifest.lines().any(|known| known == line), "{line}");
    }
    // RUSTSEC-2025-0047; CVE-2024-27308, and timeouts beyond 24 days.
    assert!(version("slab") >= vec![0, 4, 11]);
    assert!(version("mio") >= vec![1, 2, 1]);
}

#[test]
fn case_96_every_accepted_connection_is_open_or_counted_as_closed() {
    let few = listener_with("sum", &json!({ "limits": { "max_connections_per_ip": 30 } }));
    let trial = Trial::start(&[few, listener("uppercase", "tcp")]);
    let held: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(trial.address("sum-tcp"));
            client.ask(SUM.0, SUM.1);
            client
        })
        .collect();
    thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| drop(Client::connect(trial.address("sum-tcp")).try_rest_after_fin()));
        }
    });
    let known = |what| trial.counter("sum-tcp", what);
    eventually("all are counted", || known("accepted") + known("refused") == 40);
    eventually("all but the held ones have ended", || known("open") == 20);
    assert_eq!(known("accepted"), known("closed") + 20);
    drop(held);
    trial.end();
}
