//! The clients in `examples/`: real programs against the real server.

mod addresses;
mod answers;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use serde_json::json;

use crate::support::{Scratch, Server, eventually, every_protocol, program, refusing, server};

fn client(example: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(example));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[track_caller]
fn run(example: &str, arguments: &[&str]) -> Output {
    client(example, arguments).output().unwrap()
}

/// The output of a client, which must succeed.
#[track_caller]
fn print(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{example} {arguments:?}: {} {errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The stderr of a client, which must fail with exit code 1.
#[track_caller]
fn fail(example: &str, arguments: &[&str]) -> String {
    let output = run(example, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{example} {arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}

struct Everything {
    server: Server,
    received: Scratch,
}

impl Everything {
    fn start() -> Self {
        let received = Scratch::new();
        let mut listeners = every_protocol(&received);
        listeners[3]["options"]["existing"] = json!("refuse");
        listeners[4]["options"]["existing"] = json!("refuse");
        Self { server: server(&json!({ "listeners": listeners })), received }
    }

    fn url(&self, name: &str) -> String {
        let (_, scheme) = name.rsplit_once('-').unwrap();
        format!("{scheme}://{}", self.server.address(name))
    }
}

#[test]
fn each_tells_how_it_is_used() {
    for example in ["sum", "uppercase", "send", "time", "greeting"] {
        assert!(print(example, &["--help"]).contains("Usage:"), "{example}");
    }
}

// An abstract name leaves no file, and only Linux has it.
#[cfg(target_os = "linux")]
#[test]
fn clients_and_load_speak_over_unix_sockets() {
    let directory = Scratch::new();
    let path = directory.path().join("sum.sock");
    let (stream, name) =
        (format!("unix://{}", path.display()), format!("unix:@reactor-clients-{}", std::process::id()));
    let (datagram, uppercase) = (name.replace("unix:", "unixgram:"), format!("{name}-2"));
    let listeners: Vec<_> = [("sum", &stream), ("sum", &name), ("sum", &datagram), ("uppercase", &uppercase)]
        .map(|(protocol, listen)| json!({ "protocol": protocol, "listen": listen }))
        .into();
    let _server = server(&json!({ "listeners": listeners }));
    for url in [&stream, &name, &datagram] {
        assert_eq!(print("sum", &["7", "4", url]), "11\n");
        assert_eq!(print("sum", &["--users", "3", "--every", "1ms", "--count", "2", "7", "4", url]).lines().count(), 6);
        let load = ["sum", url, "--connections", "20", "--duration", "200ms", "--assert", "errors=0,rate>0"];
        assert!(print("load", &load).contains("errors      0"), "{url}");
    }
    print("load", &["uppercase", &uppercase, "--duration", "200ms", "--assert", "errors=0,rate>0"]);
    print("load", &["sum", &stream, "--connect-each", "--duration", "200ms", "--assert", "errors=0,rate>0"]);
    let unserved = fail("sum", &["7", "4", &format!("unix://{}", directory.path().join("none").display())]);
    assert!(unserved.contains("cannot connect to unix:///"), "{unserved}");
}

#[test]
fn sum_asks_over_tcp_and_udp_once_or_often_alone_or_as_many() {
    let everything = Everything::start();
    for url in [everything.url("sum-tcp"), everything.url("sum-udp")] {
        assert_eq!(print("sum", &["7", "4", &url]), "11\n");
        assert_eq!(print("sum", &["--every", "1ms", "--count", "3", "-5", "4", &url]), "-1\n0\n1\n");
        let many = print("sum", &["1", "2", &url, "--users", "10", "--count", "20"]);
        assert_eq!(many.lines().count(), 200, "{url}");
    }
    let pipelined = print("sum", &["0", "0", &everything.url("sum-tcp"), "--in-flight", "500", "--count", "5000"]);
    let expected: String = (0..5000).map(|number| format!("{number}\n")).collect();
    assert!(pipelined == expected, "in order and complete");
}

#[test]
fn uppercase_takes_its_input_from_a_file_and_from_a_pipe() {
    let everything = Everything::start();
    let url = everything.url("uppercase-tcp");
    let text = "some text, straße, \n".repeat(50_000);
    let file = everything.received.path().join("text");
    fs::write(&file, &text).unwrap();
    let from_file = client("uppercase", &[&url]).stdin(File::open(&file).unwrap()).output().unwrap();
    assert!(from_file.stdout == text.to_uppercase().as_bytes());

    let mut command = client("uppercase", &[&url]);
    let mut from_pipe = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = from_pipe.stdin.take().unwrap();
    let mut lines = BufReader::new(from_pipe.stdout.take().unwrap()).lines();
    for word in ["one", "two"] {
        writeln!(stdin, "{word}").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), word.to_uppercase());
    }
    writeln!(stdin, "exit").unwrap();
    assert!(from_pipe.wait().unwrap().success(), "it exits when the server closes, although its input goes on");
}

#[test]
fn send_delivers_a_file_by_either_protocol_and_in_either_style() {
    let everything = Everything::start();
    let contents: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 253) as u8).collect();
    let source = Scratch::new();
    let path = source.path().join("contents");
    fs::write(&path, &contents).unwrap();
    let path = path.to_str().unwrap();
    let (sized, unsized_) = (everything.url("file-sized-tcp"), everything.url("file-tcp"));
    print("send", &[path, &sized, "--as", "a"]);
    print("send", &[path, &sized, "--as", "b", "--bare"]);
    print("send", &[path, &unsized_, "--protocol", "file", "--as", "c"]);
    print("send", &[path, &unsized_, "--protocol", "file", "--as", "d", "--bare"]);
    for name in ["a", "b", "c", "d"] {
        assert!(everything.received.contents(name) == contents, "{name}");
    }
    for (url, protocol) in [(&sized, "file-sized"), (&unsized_, "file")] {
        let errors = fail("send", &[path, url, "--protocol", protocol, "--as", "a"]);
        assert!(errors.contains("exists"), "{errors}");
    }
    assert!(fail("send", &["/nonexistent", &sized]).contains("/nonexistent"));
}

/// Endless contents come from a pipe: without a size, only the end of the connection shows that they are complete.
#[test]
fn a_send_that_is_killed_in_the_middle_leaves_no_half_of_a_file() {
    let everything = Everything::start();
    let source = Scratch::new();
    let pipe = source.path().join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    let mut contents = File::options().read(true).write(true).open(&pipe).unwrap();
    // The size of one read of the client.
    let part = [7; 64 * 1024];
    for (number, signal) in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGKILL].into_iter().enumerate() {
        let arguments = [pipe.to_str().unwrap(), &everything.url("file-tcp"), "--protocol", "file", "--as", "half"];
        let mut child = client("send", &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        contents.write_all(&part).unwrap();
        let killed_at = (number as u64 + 1) * ("half\n".len() + part.len()) as u64;
        let received = || everything.server.stats("file-tcp").received_bytes;
        eventually("the server has got a part", || received() == killed_at);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        let ended = || everything.server.stats("file-tcp").closed.total() == number as u64 + 1;
        eventually("the connection has ended", ended);
        assert_eq!(everything.received.names(), [""; 0], "{signal}");
    }
    assert_eq!(everything.server.stats("file-tcp").closed.count("reset"), 3);
}

#[test]
fn time_and_greeting_stay_and_report_the_close() {
    let everything = Everything::start();
    let mut clients: Vec<(&str, Child)> = ["time", "greeting"]
        .map(|example| {
            let url = everything.url(&format!("{example}-tcp"));
            let arguments: &[&str] = if example == "time" { &[&url] } else { &[&url, "--every", "1ms"] };
            let mut child = client(example, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "{example}");
            (example, child)
        })
        .into();
    everything.server.handle().stop();
    for (example, child) in &mut clients {
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        child.wait().unwrap();
        assert!(errors.contains("clos"), "{example}: {errors:?}");
    }
}

#[test]
fn a_reader_that_closes_early_causes_no_panic() {
    let everything = Everything::start();
    let lines = [
        format!("{} 1 2 {} --every 1ms", program("sum").display(), everything.url("sum-tcp")),
        format!("{} 1 2 {} --every 1ms", program("sum").display(), everything.url("sum-udp")),
        format!("yes | {} {}", program("uppercase").display(), everything.url("uppercase-tcp")),
        format!("{} {}", program("time").display(), everything.url("time-tcp")),
        format!("{} {} --every 1ms", program("greeting").display(), everything.url("greeting-tcp")),
        format!("{} --help", program("send").display()),
    ];
    for line in lines {
        let output = Command::new("sh").args(["-c", &format!("{line} | head -n 1")]).output().unwrap();
        assert_eq!(output.stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "{line}");
        assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{line}");
    }
}

#[test]
fn a_server_that_is_absent_or_silent_is_an_error_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    assert!(!fail("sum", &["1", "2", &url, "--timeout", "100ms"]).is_empty());
    assert!(!fail("time", &[&url, "--timeout", "100ms"]).is_empty());
    let path = env!("CARGO_BIN_EXE_reactor");
    assert!(!fail("send", &[path, &url, "--timeout", "100ms"]).is_empty());
    let (_absent, address) = refusing();
    let url = format!("tcp://{address}");
    for example in ["uppercase", "time", "greeting"] {
        assert!(fail(example, &[&url]).contains("refused"), "{example}");
    }
}
