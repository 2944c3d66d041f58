//! The log: whole lines, in text or JSON, wherever they go; and the access log, which says what each client did.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    Client, Ended, Process, Random, Scratch, ask, eventually, every_protocol, listener, listener_with, root_works, soak,
};

/// The objects of a log in which every line must be one.
#[track_caller]
fn objects(log: &[u8]) -> Vec<Value> {
    assert!(log.is_empty() || log.ends_with(b"\n"), "the last line is not whole");
    let lines = log.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let parsed = lines.map(|line| match serde_json::from_slice(line) {
        Ok(object @ Value::Object(_)) => object,
        other => panic!("{other:?}: {}", line.escape_ascii()),
    });
    parsed.collect()
}

/// The lines of the access log about connections in a JSON log.
fn access(log: &[u8]) -> Vec<Value> {
    let is_about_one = |line: &Value| line["target"] == "reactor::access" && line["msg"] != "saved";
    objects(log).into_iter().filter(is_about_one).collect()
}

fn config(listeners: Value, log: Value) -> Value {
    json!({ "listeners": listeners, "log": log })
}

/// Ends the server, and returns its log file.
#[track_caller]
fn stopped(process: Process, file: &Path) -> Vec<u8> {
    let path = process.directory().path().join(file);
    process.signal(Signal::SIGTERM);
    // The directory goes with the process.
    let copy = Scratch::new();
    fs::hard_link(path, copy.path().join("log")).unwrap();
    assert_eq!(process.wait().0.code(), Some(0));
    copy.contents("log")
}

/// What a hostile client sends: bytes that could break out of a string, a line or a terminal.
fn rubbish(random: &mut Random) -> Vec<u8> {
    const PIECES: [&[u8]; 12] = [
        b"\"}\n{\"",
        b"\\\"",
        b"\x1b[2J",
        b"\0",
        b"\xff\xfe",
        b"\xe2\x80\xa8",
        b"{\"A\":",
        b"../x\n",
        b"a\"b.txt\n",
        b"5\n",
        b"\r\n",
        b"\x7f",
    ];
    let count = 1 + random.below(6);
    let mut bytes: Vec<_> = (0..count).flat_map(|_| PIECES[random.below(PIECES.len())]).copied().collect();
    let more = random.below(40);
    bytes.extend(random.bytes(more));
    bytes
}

#[test]
fn every_line_of_a_json_log_is_one_object_whatever_peers_send() {
    let received = Scratch::new();
    let log = json!({ "format": "json", "access": "all", "file": "reactor.log" });
    let process = Process::with(&[], &["--log", "trace"], &config(every_protocol(&received), log));
    let addresses = &process.addresses();
    let over = Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        scope.spawn(|| {
            while !over.has_ended() {
                process.signal(Signal::SIGUSR1);
                thread::park_timeout(Duration::from_millis(50));
            }
        });
        let mobs: Vec<_> = (0..4).map(|seed| scope.spawn(move || send_rubbish(addresses, seed))).collect();
        mobs.into_iter().for_each(|mob| mob.join().unwrap());
    });
    let path = process.directory().path().join("reactor.log");
    eventually("the log has its lines", || access(&whole(&fs::read(&path).unwrap())).len() > 100);
    let lines = objects(&stopped(process, Path::new("reactor.log")));
    println!("{} lines", lines.len());
    for line in &lines {
        for member in ["ts", "level", "target", "msg"] {
            assert!(line[member].is_string(), "{line}");
        }
    }
    let has = |target: &str, text: &str| {
        lines.iter().any(|line| line["target"] == target && line["msg"].as_str().unwrap().contains(text))
    };
    assert!(has("reactor::reactor::report", "\nnumber ") && has("reactor::reactor::reap", "closed 127.0.0.1:"));
}

/// Connects many times, or for as long as a soak takes, sends rubbish, and leaves in different ways.
fn send_rubbish(addresses: &[SocketAddr], seed: u64) {
    let mut random = Random::new(seed);
    let until = Instant::now() + soak(Duration::ZERO);
    let mut connects = 0..;
    while connects.next().is_some_and(|count| count < 150) || Instant::now() < until {
        let Ok(stream) = TcpStream::connect(addresses[random.below(addresses.len())]) else { continue };
        let mut client = Client::over(stream);
        let bytes = rubbish(&mut random);
        // The server may have closed first.
        let _ = client.stream().write_all(&bytes);
        match random.below(3) {
            0 => client.reset(),
            1 => drop(client),
            _ => drop(client.try_rest_after_fin()),
        }
    }
}

/// The log up to its last whole line.
fn whole(log: &[u8]) -> Vec<u8> {
    let end = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    log[..end].to_vec()
}

/// What a client did, as the server should see it: reason, who, phase, bytes in, bytes out, requests.
type Did = (&'static str, &'static str, &'static str, usize, usize, u64);

#[test]
fn the_access_log_agrees_with_what_clients_did_to_the_byte() {
    let limits = |limits: Value| json!({ "limits": limits });
    let listeners = json!([
        listener("sum", "tcp"),
        listener_with("time", &limits(json!({ "max_connections_per_ip": 1 }))),
        listener("uppercase", "tcp"),
        listener("file-sized", "tcp"),
        listener_with("greeting", &limits(json!({ "idle_timeout": "300ms" }))),
        listener_with("file", &json!({ "limits": { "request_timeout": "200ms" }, "options": { "name_quiet": "0s" } })),
    ]);
    let log = json!({ "format": "json", "access": "all", "file": "reactor.log" });
    let process = Process::start(&config(listeners, log));
    let mut expected: BTreeMap<String, Did> = BTreeMap::new();
    let mut did = |client: &Client, what: Did| {
        expected.insert(client.stream().local_addr().unwrap().to_string(), what);
    };
    let connect = |name: &str| Client::connect(process.address(name));
    let (request, answer) = (r#"{"A":7,"B":4}"#, "{\"Sum\":11}\n");

    for requests in [1, 3, 100] {
        let mut client = connect("sum-tcp");
        client.send(request.repeat(requests));
        client.expect(answer.repeat(requests));
        client.finish();
        assert_eq!(client.rest(), b"");
        did(&client, ("eof", "peer", "idle", request.len() * requests, answer.len() * requests, requests as u64));
    }
    let mut silent = connect("sum-tcp");
    silent.finish();
    silent.rest();
    did(&silent, ("eof", "peer", "arriving", 0, 0, 0));

    let mut refused = connect("sum-tcp");
    refused.send("rubbish");
    let told = refused.rest();
    did(&refused, ("not JSON", "us", "request", 7, told.len(), 1));

    let mut resets = connect("sum-tcp");
    resets.ask(request, answer);
    resets.send(r#"{"A":"#);
    did(&resets, ("reset", "peer", "request", request.len() + 5, answer.len(), 1));
    // The server has read the beginning: it says so when it is asked.
    let port = resets.stream().local_addr().unwrap().to_string();
    eventually("it is in the middle of a request", || {
        process.signal(Signal::SIGUSR1);
        let log = fs::read_to_string(process.directory().path().join("reactor.log")).unwrap_or_default();
        log.rsplit("what each connection is waiting for").next().is_some_and(|report| {
            report.split("\\n").any(|row| row.contains(&port) && row.contains("in the middle of a request"))
        })
    });
    resets.reset();

    let sent = vec![b'a'; 1 << 20];
    let mut upper = connect("uppercase-tcp");
    let mut writer = upper.stream().try_clone().unwrap();
    let shouted = thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        upper.rest()
    });
    assert_eq!(shouted.len(), sent.len());
    let requests = u64::MAX; // One for each read: their number is not known here.
    did(&upper, ("eof", "peer", "idle", sent.len(), sent.len(), requests));

    let mut upload = connect("file-sized-tcp");
    upload.ask("a.bin\n", "OK\n");
    upload.ask("300000\n", "OK\n");
    upload.ask(vec![b'x'; 300_000], "OK\n");
    upload.finish();
    upload.rest();
    did(&upload, ("eof", "peer", "idle", 6 + 7 + 300_000, 9, 2));

    let mut cut = connect("file-sized-tcp");
    cut.ask("b.bin\n", "OK\n");
    cut.ask("300000\n", "OK\n");
    cut.send([b'x'; 1000]);
    cut.finish();
    let told = cut.rest();
    assert!(told.starts_with(b"error: "));
    did(&cut, ("cut short", "us", "body", 6 + 7 + 1000, 6 + told.len(), 2));

    let mut idle = connect("greeting-tcp");
    idle.ask("hi", "This is Server\n");
    assert_eq!(idle.rest(), b"");
    did(&idle, ("idle", "deadline", "idle", 2, 15, 1));

    let mut slow = connect("file-tcp");
    slow.send("name without an end");
    let told = slow.rest();
    did(&slow, ("request timeout", "deadline", "request", 19, told.len(), 0));

    let first = connect("time-tcp");
    let mut second = connect("time-tcp");
    assert!(second.try_rest().map_or(true, |rest| rest.is_empty()));
    did(&second, ("max_connections_per_ip", "us", "arriving", 0, 0, 0));
    drop(first);

    let expected_count = expected.len() + 1;
    let path = process.directory().path().join("reactor.log");
    eventually("each connection has its line", || access(&whole(&fs::read(&path).unwrap())).len() == expected_count);
    let lines = access(&stopped(process, Path::new("reactor.log")));
    assert_eq!(lines.len(), expected_count, "one line for each connection");
    for line in lines {
        let Some((reason, who, phase, received, sent, requests)) = expected.remove(line["peer"].as_str().unwrap())
        else {
            continue;
        };
        let counted = if requests == u64::MAX { line["requests"].as_u64() } else { Some(requests) };
        let found = (line["reason"].as_str(), line["who"].as_str(), line["phase"].as_str());
        assert_eq!(found, (Some(reason), Some(who), Some(phase)), "{line}");
        assert_eq!((line["in"].as_u64(), line["out"].as_u64()), (Some(received as u64), Some(sent as u64)), "{line}");
        assert_eq!(line["requests"].as_u64(), counted, "{line}");
        assert!(line["open_s"].as_f64().is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{line}");
    }
    assert!(expected.is_empty(), "{expected:?}");
}

#[test]
fn each_stored_file_has_a_line_unless_the_access_log_is_off() {
    for (which, count) in [("off", 0), ("errors", 3), ("all", 3)] {
        let listeners = json!([listener("file", "tcp"), listener("file-sized", "tcp")]);
        let log = json!({ "format": "json", "access": which, "file": "reactor.log" });
        let process = Process::start(&config(listeners, log));
        let mut sized = Client::connect(process.address("file-sized-tcp"));
        let peer = sized.stream().local_addr().unwrap().to_string();
        for part in ["a \"b\".txt\n", "5\n", "hello", "empty\n"] {
            sized.ask(part, "OK\n");
        }
        sized.ask("0\n", "OK\nOK\n");
        sized.finish();
        sized.rest();
        assert_eq!(ask(process.address("file-tcp"), &["c\n", "contents"]), b"ok\nsaved c 8\n");
        ask(process.address("file-tcp"), &["c\n", "refused, because it exists"]);
        let lines = objects(&stopped(process, Path::new("reactor.log")));
        let saved: Vec<_> = lines.iter().filter(|line| line["msg"] == "saved").collect();
        let found = saved.iter().map(|line| (line["name"].as_str().unwrap(), line["size"].as_u64().unwrap()));
        let expected = [("a \"b\".txt", 5), ("empty", 0), ("c", 8)];
        assert_eq!(found.collect::<Vec<_>>(), expected[..count], "{which}");
        for line in saved.iter().take(2) {
            assert_eq!((&line["target"], &line["listener"]), (&json!("reactor::access"), &json!("file-sized-tcp")));
            assert_eq!(line["peer"], peer);
        }
    }
}

#[test]
fn what_a_udp_listener_drops_is_one_line_and_not_one_for_each_datagram() {
    let process = Process::start(&config(json!([listener("sum", "udp")]), json!({ "access": "errors" })));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for payload in ["", "rubbish", "rubbish"] {
        client.send_to(payload.as_bytes(), process.address("sum-udp")).unwrap();
    }
    process.signal(Signal::SIGTERM);
    let log = process.wait().1;
    let lines: Vec<_> = log.lines().filter(|line| line.contains("reactor::access] ")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("] dropped listener=sum-udp datagrams=3 reasons="), "{log}");
}

#[test]
fn a_reader_that_gives_up_is_reported_as_sending() {
    let limits = json!({ "limits": { "write_timeout": "300ms" } });
    let listeners = json!([listener_with("uppercase", &limits), listener("uppercase", "tcp")]);
    let process = Process::with(
        &[],
        &["--log-format", "json", "--log", "off"],
        &config(listeners, json!({ "access": "errors" })),
    );
    let mut deaf = Client::connect_with_little_room(process.address("uppercase-tcp"));
    deaf.send_until_stuck(&[b'a'; 64 * 1024]);
    eventually("its end is logged", || {
        process.log().contains("\"reason\":\"write timeout\",\"who\":\"deadline\",\"phase\":\"sending\"")
    });
    let mut gone = Client::connect_with_little_room(process.address("uppercase-tcp-2"));
    gone.send_until_stuck(&[b'a'; 64 * 1024]);
    gone.reset();
    eventually("its end is logged", || {
        process.log().contains("\"reason\":\"reset\",\"who\":\"peer\",\"phase\":\"sending\"")
    });
}

#[test]
fn the_access_log_needs_no_level_and_errors_leaves_out_the_others() {
    let listeners = || json!([listener("sum", "tcp")]);
    for (which, count) in [("off", 0), ("errors", 1), ("all", 3)] {
        let process = Process::with(&[], &["--log", "off"], &config(listeners(), json!({ "access": which })));
        for sent in ["", r#"{"A":1,"B":2}"#, "rubbish"] {
            ask(process.address("sum-tcp"), &[sent]);
        }
        process.signal(Signal::SIGTERM);
        let (status, log) = process.wait();
        assert_eq!((status.code(), log.lines().count()), (Some(0), count), "{log}");
        assert!(
            log.lines().all(|line| line.contains(" INFO  reactor::access] closed listener=sum-tcp conn=")),
            "{log}"
        );
        assert_eq!(log.matches(r#" reason="not JSON" who=us phase=request in=7 "#).count(), count.min(1), "{log}");
    }
}

#[test]
fn a_new_log_file_has_its_mode_whatever_the_umask_is() {
    let log = json!({ "file": "reactor.log", "file_mode": "0664" });
    let shell = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let process = Process::under(&shell, &config(json!([listener("sum", "tcp")]), log));
    let mode = fs::metadata(process.directory().path().join("reactor.log")).unwrap().mode();
    assert_eq!(mode & 0o7777, 0o664);
    assert_eq!(process.log(), "");
}

#[test]
fn for_journald_each_line_begins_with_its_priority() {
    let shell = "export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2); exec \"$@\"";
    let process = Process::under(&["sh", "-c", shell, "sh"], &config(json!([listener("sum", "tcp")]), json!({})));
    process.signal(Signal::SIGUSR1);
    eventually("the report is complete", || process.log().contains("<6>    in all "));
    assert!(process.log().starts_with("<6>[reactor::reactor::report] sum-tcp "), "{}", process.log());
    assert!(process.log().lines().all(|line| line.starts_with("<6>")));
}

#[test]
fn a_log_on_a_full_disk_delays_no_client_and_no_end() {
    let log = json!({ "file": "/dev/full", "access": "all" });
    let process = Process::with(&[], &["--log", "trace"], &config(json!([listener("uppercase", "tcp")]), log));
    for _ in 0..300 {
        assert_eq!(ask(process.address("uppercase-tcp"), &["a line"]), b"A LINE");
    }
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert_eq!((status.code(), log.as_str()), (Some(0), ""));
}

/// A separate file system of a given size.
struct Tiny(Scratch);

impl Tiny {
    fn mount(options: &str) -> Self {
        let tiny = Self(Scratch::new());
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(tiny.0.path());
        assert!(mount.status().unwrap().success(), "no tmpfs can be mounted");
        tiny
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l"]).arg(self.0.path()).status();
    }
}

#[test]
fn lines_lost_on_a_full_disk_are_counted_once_there_is_room() {
    const CLIENTS: usize = 3000;
    if !root_works() {
        return;
    }
    let tiny = Tiny::mount("size=256k");
    let file = tiny.0.path().join("reactor.log");
    let filler = tiny.0.path().join("filler");
    fs::write(&filler, vec![b'x'; 128 * 1024]).unwrap();
    let log = json!({ "format": "json", "access": "all", "file": file });
    let process = Process::with(&[], &["--log", "off"], &config(json!([listener("sum", "tcp")]), log));
    let written = || objects(&whole(&fs::read(&file).unwrap()));
    for _ in 0..CLIENTS {
        assert_eq!(ask(process.address("sum-tcp"), &[r#"{"A":1,"B":2}"#]), b"{\"Sum\":3}\n");
    }
    assert!(written().len() < CLIENTS - 100, "the disk was never full");
    fs::remove_file(&filler).unwrap();
    ask(process.address("sum-tcp"), &[""]);
    let lost = |lines: &[Value]| -> usize {
        let said = lines.iter().filter_map(|line| line["msg"].as_str()?.split_once(" log lines lost: No space left"));
        said.map(|(count, _)| count.parse::<usize>().unwrap()).sum()
    };
    eventually("it says how many are lost", || lost(&written()) > 0);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait().0.code(), Some(0));
    let lines = objects(&fs::read(&file).unwrap());
    let ends = lines.iter().filter(|line| line["target"] == "reactor::access").count();
    assert_eq!(ends + lost(&lines), CLIENTS + 1, "each line is written or counted");
}
