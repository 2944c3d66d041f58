//! The peers of Unix sockets: known by user, and unable to hang a connection by what they pass.

use std::io::{IoSlice, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use reactor::Registry;
use serde_json::{Value, json};

use super::{ANSWER, REQUEST, answer, ask};
use crate::support::{Client, Process, Scratch, Server, eventually, root_works, server};

/// A configuration with one listener for `sum`, and other members.
fn config(directory: &Scratch, members: &Value) -> Value {
    let mut listener = json!({
        "name": "sum",
        "protocol": "sum",
        "listen": format!("unix://{}", directory.path().join("sum.sock").display()),
    });
    for (name, value) in members.as_object().unwrap() {
        listener[name] = value.clone();
    }
    json!({ "listeners": [listener] })
}

/// The same, with a TCP listener beside it.
fn with_tcp(mut config: Value) -> Value {
    let tcp = json!({ "name": "tcp", "listen": "tcp://127.0.0.1:0", "protocol": "sum" });
    config["listeners"].as_array_mut().unwrap().push(tcp);
    config
}

fn connect(directory: &Scratch) -> UnixStream {
    UnixStream::connect(directory.path().join("sum.sock")).unwrap()
}

/// What a process of the user `uid` gets for a request.
fn answer_for(uid: u32, directory: &Scratch) -> String {
    let mut client = Command::new("nc")
        .args(["-U", "-N"])
        .arg(directory.path().join("sum.sock"))
        .uid(uid)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It may have been refused before it has read this.
    let _ = client.stdin.take().unwrap().write_all(REQUEST);
    String::from_utf8(client.wait_with_output().unwrap().stdout).unwrap()
}

/// What is open of a server, without the numbers.
fn kinds(process: &Process) -> Vec<String> {
    let kind = |target: String| target.split(':').next().unwrap().to_owned();
    process.opened().into_iter().map(kind).collect()
}

#[test]
fn descriptors_passed_within_a_request_hang_nothing_and_are_closed() {
    let directory = Scratch::new();
    let process = Process::start(&with_tcp(config(&directory, &json!({}))));
    let before = kinds(&process);
    let client = connect(&directory);
    for _ in 0..10 {
        let parts = [&b"{\"A\":7,"[..], b"\"B\":", b"4}\n"];
        let (mut reader, writer) = pipe().unwrap();
        // The loop has handled all events so far: only one more will come.
        process.counter("tcp", "open");
        // All is in the queue before the server reads.
        process.pause();
        for (number, part) in parts.iter().enumerate() {
            let passed = [writer.as_raw_fd(); 3];
            let message = [ControlMessage::ScmRights(&passed)];
            let control = if number == 1 { &message[..] } else { &[] };
            let part = [IoSlice::new(part)];
            sendmsg::<()>(client.as_raw_fd(), &part, control, MsgFlags::empty(), None).unwrap();
        }
        process.resume();
        assert_eq!(answer(&client), ANSWER);
        // The server has no copy of the end for writing, so the pipe has ended.
        drop(writer);
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }
    drop(client);
    eventually("the connection is closed", || kinds(&process) == before);
}

#[test]
fn a_user_who_is_not_allowed_is_refused_before_anything_is_read() {
    let directory = Scratch::new();
    let server = server(&config(&directory, &json!({ "allow_users": ["4000000000"] })));
    let mut refused = connect(&directory);
    // The server has closed already, or closes over the unread request.
    let _ = refused.write_all(REQUEST);
    assert!(matches!(refused.read(&mut [0; 8]), Ok(0) | Err(_)));
    let stats = server.stats("sum");
    assert_eq!((stats.accepted, stats.received_bytes), (0, 0));
    assert_eq!(stats.refused.to_string(), "1 (allow_users 1)");
}

#[test]
fn allowed_users_are_served_by_name_and_by_number() {
    if !root_works() {
        return;
    }
    let directory = Scratch::new();
    let server = server(&config(&directory, &json!({ "mode": "0666", "allow_users": ["daemon", "54321"] })));
    assert_eq!(answer_for(54_321, &directory), ANSWER);
    assert_eq!(answer_for(54_322, &directory), "");
    let daemon = nix::unistd::User::from_name("daemon").unwrap().expect("every system has it");
    assert_eq!(answer_for(daemon.uid.as_raw(), &directory), ANSWER);
    assert_eq!(server.stats("sum").refused.to_string(), "1 (allow_users 1)");
}

#[test]
fn the_mode_decides_who_can_connect() {
    if !root_works() {
        return;
    }
    let directory = Scratch::new();
    for (mode, expected) in [("0600", ""), ("0666", ANSWER)] {
        let _server = server(&config(&directory, &json!({ "mode": mode })));
        assert_eq!(answer_for(54_321, &directory), expected, "{mode}");
    }
}

#[test]
fn connections_over_a_unix_socket_are_limited_by_user() {
    let directory = Scratch::new();
    let members = json!({ "mode": "0666", "limits": { "max_connections_per_ip": 1 } });
    let server = server(&config(&directory, &members));
    let first = connect(&directory);
    ask(&first);
    let mut second = connect(&directory);
    assert!(matches!(second.read(&mut [0; 8]), Ok(0) | Err(_)), "the same user");
    assert_eq!(server.stats("sum").refused.to_string(), "1 (max_connections_per_ip 1)");
    if root_works() {
        assert_eq!(answer_for(54_321, &directory), ANSWER, "another user");
    }
    ask(&first);
}

#[test]
fn a_protocol_learns_the_process_at_the_other_end() {
    use reactor::protocol::{Context, Reply, Step, StreamProtocol, Within};
    struct Who;
    impl StreamProtocol for Who {
        fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
            let text = format!("{} {:?}\n", cx.peer(), cx.local_address());
            cx.out.extend_from_slice(text.as_bytes());
            Ok(Step::wait(Within::Nothing).consuming(input.len()))
        }
    }
    let mut registry = Registry::empty();
    registry.stream_fn("who", "Names its peer.", "nc -U", |_| Who);
    let directory = Scratch::new();
    let _server = Server::start(&registry, &config(&directory, &json!({ "protocol": "who" })));
    let mut client = connect(&directory);
    client.write_all(b"?").unwrap();
    let (uid, gid) = (nix::unistd::getuid(), nix::unistd::getgid());
    assert_eq!(answer(&client), format!("unix:pid={},uid={uid},gid={gid} None\n", std::process::id()));
}

#[test]
fn a_unix_socket_and_a_tcp_listener_are_served_side_by_side() {
    let directory = Scratch::new();
    let process = Process::start(&with_tcp(config(&directory, &json!({}))));
    let unix = connect(&directory);
    for _ in 0..3 {
        ask(&unix);
        Client::connect(process.address("tcp")).ask(REQUEST, ANSWER);
    }
    // A stop answers what has arrived, as over TCP.
    (&unix).write_all(REQUEST).unwrap();
    process.signal(Signal::SIGTERM);
    assert_eq!(answer(&unix), ANSWER);
    assert!(process.wait().0.success());
    assert_eq!(directory.names(), [""; 0]);
}
