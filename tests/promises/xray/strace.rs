//! The X-ray compared with `strace(1)` of the same run.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::UdpSocket;

use nix::sys::signal::Signal;
use serde_json::json;

use super::lines;
use crate::support::{Client, Line, PATIENCE, Scratch, Strace, ask, every_protocol, strace_works};

/// The name of a system call, and its result.
type Call = (String, String);

#[test]
fn every_system_call_on_a_socket_is_recorded_as_strace_shows_it() {
    if !strace_works() {
        return;
    }
    let (received, directory) = (Scratch::new(), Scratch::new());
    let file = directory.path().join("xray.txt");
    let config = json!({ "listeners": every_protocol(&received) });
    // The disk is so slow that an upload gets pipes.
    let options = ["-e", "trace=network,desc", "-e", "inject=write:delay_enter=10000"];
    let server = Strace::with(&options, &["--xray", file.to_str().unwrap()], &config);

    let tcp = |name: &str, pieces: &[&[u8]]| ask(server.process.address(name), pieces);
    assert_eq!(tcp("sum-tcp", &[b"{\"A\":7,", b"\"B\":4}{\"A\":1,\"B\":1}"]), b"{\"Sum\":11}\n{\"Sum\":2}\n");
    assert!(tcp("sum-tcp", &[b"nonsense"]).starts_with(b"{\"Error\":"));
    assert_eq!(tcp("uppercase-tcp", &[b"one", b"two\nexit\n"]), b"ONETWO\n");
    assert_eq!(tcp("uppercase-tcp", &[&[b'a'; 300_000]]).len(), 300_000);
    assert_eq!(tcp("file-tcp", &[b"x.txt\n", &[b'x'; 300_000]]), b"ok\nsaved x.txt 300000\n");
    assert_eq!(tcp("file-sized-tcp", &[b"y\n3\n", b"abc"]), b"OK\nOK\nOK\n");
    let mut spliced = Client::connect(server.process.address("file-sized-tcp"));
    spliced.ask("z\n4000000\n", "OK\nOK\n");
    spliced.send(vec![b'z'; 4_000_000]);
    spliced.expect("OK\n");
    spliced.finish();
    assert_eq!(spliced.rest(), b"");
    assert!(!tcp("time-tcp", &[]).is_empty());
    assert!(!tcp("greeting-tcp", &[b"hi"]).is_empty());
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(b"{\"A\":7,\"B\":4}", server.process.address("sum-udp")).unwrap();
    assert_eq!(client.recv(&mut [0; 100]).unwrap(), 11);
    Client::connect(server.process.address("uppercase-tcp")).reset();
    // The stop waits for a connection in the middle of its request, and the second signal cuts it.
    let mut held = Client::connect(server.process.address("sum-tcp"));
    held.ask("{\"A\":7,\"B\":4}{", "{\"Sum\":11}\n");
    server.process.signal(Signal::SIGTERM);
    crate::support::eventually("it stops", || server.process.log().contains("stopping"));
    server.process.signal(Signal::SIGTERM);
    assert!(held.try_rest().is_err(), "it is reset");

    let (traced, recorded) = (server.wait(), lines(&directory));
    assert_eq!(recorded_on_pipes(&recorded), calls_on_pipes(&traced));
    let (seen, recorded) = (calls_by_socket(&traced), recorded_by_socket(&recorded));
    assert_eq!(recorded.len(), seen.len());
    for (number, (recorded, seen)) in recorded.iter().zip(&seen).enumerate() {
        assert_eq!(recorded, seen, "the calls of socket #{}", number + 1);
    }
    let names: Vec<_> = seen.iter().flatten().map(|(name, _)| name.as_str()).collect();
    for name in
        ["accept4", "recvfrom", "splice", "sendto", "recvmmsg", "sendmmsg", "setsockopt", "shutdown", "epoll_ctl"]
    {
        assert!(names.contains(&name), "{name} was not tried");
    }
}

/// The calls in the X-ray, socket by socket in the order in which they were opened.
fn recorded_by_socket(lines: &[String]) -> Vec<Vec<Call>> {
    let mut sockets: BTreeMap<u32, Vec<Call>> = BTreeMap::new();
    for line in lines {
        let Some((number, what)) = line.trim_start().split_once('#').and_then(|(_, rest)| rest.split_once(' ')) else {
            continue;
        };
        let Some((call, answer)) = what.split_once(") = ") else { continue };
        let Some((name, _)) = call.trim_start().split_once('(') else { continue };
        if name.starts_with("on_") || is_on_pipe(call) {
            continue;
        }
        let answer = answer.split_once(" (").map_or(answer, |(answer, _)| answer);
        sockets.entry(number.parse().unwrap()).or_default().push((name.to_owned(), answer.to_owned()));
    }
    sockets.into_values().collect()
}

/// Whether a call in the X-ray is on a pipe, and on no socket.
fn is_on_pipe(call: &str) -> bool {
    ["pipe2(", "fcntl(F_SETPIPE_SZ", "poll(POLLOUT", "close(pipe"]
        .iter()
        .any(|begin| call.trim_start().starts_with(begin))
}

/// The calls on pipes in the X-ray, in their order.
fn recorded_on_pipes(lines: &[String]) -> Vec<Call> {
    let calls = lines.iter().filter_map(|line| {
        let (_, what) = line.trim_start().split_once('#')?.1.split_once(' ')?;
        let (call, answer) = what.trim_start().split_once(") = ").filter(|(call, _)| is_on_pipe(call))?;
        Some((call.split_once('(')?.0.to_owned(), answer.to_owned()))
    });
    calls.collect()
}

/// The calls of the loop on pipes in strace's output. Those of workers, which move bytes to a file, are not recorded.
fn calls_on_pipes(lines: &[Line]) -> Vec<Call> {
    let first = lines.first().map(|line| line.thread);
    let of_loop: Vec<_> = lines.iter().filter(|line| Some(line.thread) == first).cloned().collect();
    // The pipes before are the standard output and error of the server.
    let calls = whole_calls(&of_loop).into_iter().skip_while(|text| !text.starts_with("pipe2(")).filter_map(|text| {
        let (call, answer) = text.rsplit_once(" = ")?;
        let (name, arguments) = call.split_once('(')?;
        let is_on_pipe = name == "pipe2" || arguments.contains("<pipe:[") && socket(arguments).is_none();
        let is_of_upload = is_on_pipe && !arguments.contains("F_GETFD") && name != "write";
        is_of_upload.then(|| (name.to_owned(), answer.split(['<', '(']).next().unwrap().trim_end().to_owned()))
    });
    calls.collect()
}

/// The calls in strace's output, in the same form: Internet sockets and their calls. Another pair of sockets in the
/// process brings signals to the loop.
fn calls_by_socket(lines: &[Line]) -> Vec<Vec<Call>> {
    let mut sockets: Vec<(String, Vec<Call>)> = Vec::new();
    for text in whole_calls(lines) {
        let Some((call, answer)) = text.rsplit_once(" = ") else { continue };
        let Some((name, arguments)) = call.split_once('(') else { continue };
        // In a debug build, the standard library checks that a descriptor to close is open.
        if arguments.contains("F_GETFD") {
            continue;
        }
        let made = socket(answer).filter(|_| name == "accept4" || arguments.starts_with("AF_INET"));
        let answer = answer.split(['<', '(']).next().unwrap().trim_end();
        let answer = match answer.strip_prefix("0x") {
            Some(flags) => u64::from_str_radix(flags, 16).unwrap().to_string(),
            None => answer.to_owned(),
        };
        let done = (name.to_owned(), answer);
        if let Some((_, calls)) = sockets.iter_mut().find(|(known, _)| socket(arguments) == Some(known)) {
            calls.push(done.clone());
        }
        if let Some(made) = made {
            let calls = if name == "socket" { vec![done] } else { Vec::new() };
            sockets.push((made.to_owned(), calls));
        }
    }
    sockets.into_iter().map(|(_, calls)| calls).collect()
}

/// The first socket that a text names: `socket:[INODE]`.
fn socket(text: &str) -> Option<&str> {
    let begin = text.find("<socket:[")?;
    text[begin..].split_once('>').map(|(name, _)| name)
}

/// Joins the beginning and the end of calls that are on separate lines, because other threads made calls meanwhile.
fn whole_calls(lines: &[Line]) -> Vec<String> {
    let mut begun: HashMap<u32, String> = HashMap::new();
    let mut calls = Vec::new();
    for Line { thread, text } in lines {
        if let Some(beginning) = text.strip_suffix(" <unfinished ...>") {
            begun.insert(*thread, beginning.to_owned());
        } else if let Some((_, end)) = text.split_once(" resumed>") {
            calls.push(begun.remove(thread).unwrap_or_default() + end);
        } else {
            calls.push(text.clone());
        }
    }
    calls
}
