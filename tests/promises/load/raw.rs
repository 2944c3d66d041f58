//! `load raw`: servers of any protocol, with every answer compared.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::{Load, Stub, load};
use crate::support::{Scratch, eventually, listener, loopback, server, watch_for};

#[test]
fn raw_measures_servers_over_every_transport() {
    let files = Scratch::new();
    fs::write(files.path().join("request"), "sent from a file\n").unwrap();
    let server = server(&json!({ "listeners": [
        listener("sum", "udp"),
        listener("uppercase", "tcp"),
        listener("time", "tcp"),
        listener("greeting", "tcp"),
        { "name": "stream", "protocol": "sum", "listen": format!("unix://{}/stream", files.path().display()) },
        { "name": "datagram", "protocol": "sum", "listen": format!("unixgram://{}/datagram", files.path().display()) },
    ] }));
    let tcp = |name| format!("tcp://{}", server.address(name));
    let unix = |scheme: &str, name: &str| format!("{scheme}://{}/{name}", files.path().display());
    let udp = format!("udp://{} --timeout 60s", server.address("sum-udp"));
    let sum = r#"--send {"A":7,"B":4}\n --expect {"Sum":11}\n"#;
    let file = format!(r"--send-file {}/request", files.path().display());
    let mut runs = vec![
        (tcp("uppercase-tcp"), r"--send abc\n --expect ABC\n".to_owned()),
        (tcp("uppercase-tcp"), r"--send abc\n --expect ABC\n --pipeline 20".into()),
        (tcp("uppercase-tcp"), r"--send \x61\x62c\n --expect-bytes 4 --connect-each".into()),
        (tcp("uppercase-tcp"), format!(r"{file} --expect-until FILE\n --rate 500 --warmup 100ms")),
        (tcp("time-tcp"), r"--expect-until Z\n --connect-each".into()),
        (tcp("greeting-tcp"), r"--send hello --expect This\x20is\x20Server\n".into()),
        (udp.clone(), format!("{sum} --pipeline 5")),
        (udp, r#"--send {"A":7,"B":4} --expect-bytes 11 --rate 500"#.into()),
        (unix("unix", "stream"), format!("{sum} --pipeline 5")),
    ];
    if cfg!(target_os = "linux") {
        runs.push((unix("unixgram", "datagram"), format!("{sum} --timeout 60s")));
    }
    for (url, options) in runs {
        load(&format!("raw {url} -c 5 -d 300ms {options}")).assert_good();
    }
}

const ASK: &str = r#"--send {"A":1,"B":2}\n -d 300ms -c 4"#;
const RIGHT: &str = "{\"Sum\":3}\n";

#[test]
fn an_answer_that_is_wrong_too_short_or_too_long_is_an_error() {
    for (kind, text, answer) in [
        ("wrong", "Sum", (|_, _| Some("{\"Sum\":4}\n".into())) as fn(usize, i64) -> Option<String>),
        ("short", "ended after 5 bytes", |_, _| Some("{\"Sum".into())),
        ("long", "!", |_, _| Some(format!("{RIGHT}!"))),
        ("closed", "closed", |_, _| None),
    ] {
        let stub = Stub::start(answer);
        let outcome = load(&format!(r#"raw tcp://{} {ASK} --expect {{"Sum":3}}\n --timeout 1s"#, stub.address));
        let errors = outcome.number(&format!("/errors/{kind}"));
        assert!(errors > 0.0 && errors == outcome.number("/errors/total"), "{kind}: {}", outcome.text);
        assert_eq!(outcome.number("/requests"), 0.0, "{kind}: {}", outcome.text);
        assert!(outcome.errors.contains(text), "{kind}: {}", outcome.errors);
    }
    let two_of_three = Stub::start(|number, _| Some(if number == 2 { "{\"Sum\":4}\n" } else { RIGHT }.into()));
    let outcome =
        load(&format!(r#"raw tcp://{} {ASK} --expect {{"Sum":3}}\n --assert wrong>=4"#, two_of_three.address));
    assert_eq!(outcome.code, Some(0), "{}", outcome.errors);
    let (right, wrong) = (outcome.number("/requests"), outcome.number("/errors/wrong"));
    assert!((right - 2.0 * wrong).abs() <= 8.0, "each connection ends with its wrong answer: {}", outcome.text);
}

/// Whether they come with the answer or later, they are one error.
#[test]
fn bytes_that_come_after_an_answer_are_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        // The first connection tests which address accepts.
        let _probe = listener.accept().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(b"yes\n").unwrap();
        watch_for(Duration::from_millis(100));
        stream.write_all(b"more\n").unwrap();
        // It connects again, and its next request would be due after the end.
        let (mut again, _) = listener.accept().unwrap();
        assert_eq!(again.read(&mut [0]).unwrap(), 0);
    });
    let outcome = load(&format!(r"raw tcp://{address} -c 1 --rate 1 -d 900ms --send x --expect yes\n"));
    assert_eq!((outcome.number("/errors/long"), outcome.number("/errors/total")), (1.0, 1.0), "{}", outcome.text);
    server.join().unwrap();
}

#[test]
fn a_datagram_that_is_wrong_too_short_or_too_long_is_an_error() {
    for (kind, answer) in [("wrong", "no\n"), ("short", "ye"), ("long", "yes\nyes\n"), ("short", "")] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let has_ended = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&has_ended);
        let answers = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                if let Ok((_, client)) = socket.recv_from(&mut [0; 10]) {
                    socket.send_to(answer.as_bytes(), client).unwrap();
                }
            }
        });
        let outcome = load(&format!(r"raw udp://{address} -c 2 -d 100ms --send x --expect yes\n --timeout 60s"));
        has_ended.store(true, Ordering::Relaxed);
        answers.join().unwrap();
        let errors = outcome.number(&format!("/errors/{kind}"));
        assert!(errors > 0.0 && errors == outcome.number("/errors/total"), "{kind}: {}", outcome.text);
    }
}

/// The server answers without end; `load` compares what comes, and keeps none of it.
#[test]
#[cfg(target_os = "linux")]
fn an_answer_of_any_length_takes_no_memory() {
    const SENT_BYTES: u64 = 200 * 1024 * 1024;
    const MEMORY_KIB: u64 = 60 * 1024;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let server = thread::spawn(move || {
        // The first connection tests which address accepts.
        let _probe = listener.accept().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut [0]).unwrap();
        let chunk = [b'x'; 64 * 1024];
        while stream.write_all(&chunk).is_ok() {
            count.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    });
    let mut load =
        Load::start(&format!("raw tcp://{address} -c 1 -d 1h --timeout 1h --send x --expect-bytes 1099511627776"));
    eventually("much has come", || sent.load(Ordering::Relaxed) > SENT_BYTES);
    let status = fs::read_to_string(format!("/proc/{}/status", load.child.id())).unwrap();
    load.child.kill().unwrap();
    load.child.wait().unwrap();
    server.join().unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(kib < MEMORY_KIB, "{kib} KiB");
}

#[test]
fn the_result_of_raw_says_what_was_sent_and_expected() {
    let (_server, address) = loopback("uppercase");
    let outcome = load(&format!(r"raw tcp://{address} -c 1 -d 50ms --send a\n --expect-until \n"));
    outcome.assert_good();
    assert_eq!((&outcome.json["protocol"], &outcome.json["send"]), (&json!("raw"), &json!("a\\n")));
    assert_eq!((&outcome.json["expect"], &outcome.json["size"]), (&json!("up to \\n"), &json!(2)));
}

/// Whether `redis-server` is installed. If not, prints a message; with `CI` set, fails, since a promise must be tested
/// somewhere.
fn redis_works() -> bool {
    let tried = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let works = tried.is_ok_and(|status| status.success());
    if !works {
        assert!(std::env::var_os("CI").is_none(), "redis-server is missing");
        eprintln!("SKIPPED: redis-server is missing, so this test did nothing");
    }
    works
}

/// A Redis that ends with its test.
struct Redis(Child);

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn raw_measures_a_redis_by_ping_and_compares_every_answer() {
    if !redis_works() {
        return;
    }
    let directory = Scratch::new();
    let socket = directory.path().join("redis.sock");
    let child = Command::new("redis-server")
        .args(["--port", "0", "--save", "", "--unixsocket"])
        .arg(&socket)
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _redis = Redis(child);
    eventually("redis listens", || std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let url = format!("unix://{}", socket.display());
    for options in ["", "--pipeline 16", "--connect-each", "--rate 500"] {
        load(&format!(r"raw {url} -c 5 -d 300ms --send PING\r\n --expect +PONG\r\n {options}")).assert_good();
    }
    let wrong = load(&format!(r"raw {url} -c 1 -d 100ms --send PONG\r\n --expect +PONG\r\n"));
    assert!(wrong.number("/errors/wrong") > 0.0 && wrong.errors.contains("unknown command"), "{}", wrong.errors);
}
