//! The X-ray shows all actions of the loop, in order, on request.

mod panic;
mod recorded;
// It compares with the system calls of epoll.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod strace;
mod views;

use std::fs::{self, OpenOptions};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::json;

use crate::support::{Client, Process, Scratch, eventually, listener, listener_with};

/// A server whose X-ray goes to a file that stays after its end.
struct Recorded {
    process: Process,
    directory: Scratch,
}

impl Recorded {
    #[track_caller]
    fn start(listener: &serde_json::Value) -> Self {
        let directory = Scratch::new();
        let file = directory.path().join("xray.txt");
        let arguments = ["--xray", file.to_str().unwrap()];
        Self { process: Process::with(&[], &arguments, &json!({ "listeners": [listener] })), directory }
    }

    /// Stops the server, and returns the lines of its X-ray.
    #[track_caller]
    fn stop(self) -> Vec<String> {
        self.process.signal(Signal::SIGTERM);
        let (status, log) = self.process.wait();
        assert!(status.success(), "{log}");
        assert_eq!(self.directory.names(), ["xray.txt"], "and no unfinished file");
        lines(&self.directory)
    }
}

fn lines(directory: &Scratch) -> Vec<String> {
    let text = fs::read_to_string(directory.path().join("xray.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// Expects a line for each of `wanted`, in this order.
#[track_caller]
fn assert_order(lines: &[String], wanted: &[(&str, &str)]) {
    let mut rest = lines.iter();
    for (begin, end) in wanted {
        let found = rest.any(|line| line.contains(begin) && line.ends_with(end));
        assert!(found, "no {begin} … {end} at its place: {lines:#?}");
    }
}

#[test]
fn back_pressure_shows_from_the_short_write_to_the_last_byte() {
    // Any pending byte is over the limit, so back-pressure ends when all output is written.
    let limits = json!({ "limits": { "max_pending_output": "1B" } });
    let server = Recorded::start(&listener_with("uppercase", &limits));
    let mut client = Client::connect_with_little_room(server.process.address("uppercase-tcp"));
    let sent = client.send_until_stuck(&[b'a'; 64 * 1024]);
    assert!(client.try_rest_of(sent).unwrap().iter().all(|byte| *byte == b'A'));
    client.finish();
    assert_eq!(client.rest(), b"");
    let wanted = [
        ("recvfrom(", ""),
        ("on_bytes(", ""),
        ("sendto(", "(short)"),
        ("sendto(", "= -1 EAGAIN"),
        ("back-pressure on: ", "reading is paused"),
        ("waits for an event; ", ""),
        ("event: ", "writable"),
        ("sendto(", ""),
        ("back-pressure off: 0 bytes pending", ""),
        ("recvfrom(", "= 0 (FIN)"),
        ("closed: eof", ""),
    ];
    assert_order(&server.stop(), &wanted);
}

#[test]
fn the_file_is_written_on_sigusr1_and_again_when_the_server_stops() {
    let server = Recorded::start(&listener("uppercase", "tcp"));
    assert_eq!(server.directory.names(), [""; 0], "no X-ray was requested yet");
    let mut client = Client::connect(server.process.address("uppercase-tcp"));
    client.ask("one", "ONE");
    server.process.signal(Signal::SIGUSR1);
    eventually("it is written", || server.directory.names() == ["xray.txt"]);
    let wanted = [("accepted 127.0.0.1:", "(uppercase)"), ("sendto(3)", "= 3"), ("asked for a report", "")];
    assert_order(&lines(&server.directory), &wanted);
    client.ask("more", "MORE");
    drop(client);
    let wanted = [
        ("sendto(3)", "= 3"),
        ("sendto(4)", "= 4"),
        ("asked to stop by a signal", ""),
        ("stopping", ""),
        ("close()", "= 0"),
    ];
    assert_order(&server.stop(), &wanted);
}

#[test]
fn the_first_report_has_all_bytes_of_a_connection_when_it_is_recorded() {
    let server = Recorded::start(&listener("uppercase", "tcp"));
    let mut client = Client::connect(server.process.address("uppercase-tcp"));
    client.ask("one", "ONE");
    let peer = client.stream().local_addr().unwrap().to_string();
    server.process.signal(Signal::SIGUSR1);
    eventually("the report is complete", || server.process.log().contains("    in all "));
    let log = server.process.log();
    let row = log.lines().find(|line| line.contains(&format!(" {peer} "))).unwrap();
    assert_eq!(row.split("  ").filter(|field| field.trim() == "3 B").count(), 2, "{row}");
}

#[test]
fn a_live_x_ray_goes_to_stderr_turn_by_turn() {
    let server = Process::with(&[], &["--xray", "-"], &json!({ "listeners": [listener("uppercase", "tcp")] }));
    let mut client = Client::connect(server.address("uppercase-tcp"));
    client.ask("one", "ONE");
    eventually("it shows", || server.log().contains("sendto(3) = 3"));
    client.finish();
    assert_eq!(client.rest(), b"");
    server.signal(Signal::SIGTERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    let lines: Vec<_> = log.lines().map(str::to_owned).collect();
    let wanted = [("socket(AF_INET", ""), ("turn 1:", ""), ("accept4", ""), ("closed: eof", ""), ("close()", "= 0")];
    assert_order(&lines, &wanted);
}

#[test]
fn stepping_shows_every_turn_and_goes_on_when_stdin_has_ended() {
    let server = Process::with(&[], &["--step"], &json!({ "listeners": [listener("uppercase", "tcp")] }));
    let mut client = Client::connect(server.address("uppercase-tcp"));
    client.ask("one", "ONE");
    client.finish();
    assert_eq!(client.rest(), b"");
    server.signal(Signal::SIGTERM);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("-- Enter for the next turn").count(), 1, "{log}");
    assert!(log.contains("sendto(3) = 3"), "{log}");
}

#[test]
fn a_signal_to_stop_needs_no_enter_between_two_steps() {
    let directory = Scratch::new();
    let keyboard = directory.path().join("keyboard");
    mkfifo(&keyboard, Mode::S_IRWXU).unwrap();
    // This process opens both ends without waiting, and then the server opens its end without waiting, too.
    let _silent = OpenOptions::new().read(true).write(true).open(&keyboard).unwrap();
    let typed = ["sh", "-c", "exec \"$@\" < \"$0\"", keyboard.to_str().unwrap()];
    let server = Process::with(&typed, &["--step"], &json!({ "listeners": [listener("uppercase", "tcp")] }));
    // The prompt behind it is not a whole line yet.
    eventually("the start is shown", || server.log().contains("listen(1024) = 0"));
    server.signal(Signal::SIGINT);
    let (status, log) = server.wait();
    assert!(status.success(), "{log}");
    assert_eq!(log.matches("Enter").count(), 1, "{log}");
    assert!(log.contains("stopping gracefully"), "{log}");
}

#[test]
fn a_file_that_cannot_be_written_stops_no_client_and_is_tried_again() {
    let directory = Scratch::new();
    let path = directory.path().join("later/xray.txt");
    let config = json!({ "listeners": [listener("uppercase", "tcp")] });
    let process = Process::with(&[], &["--xray", path.to_str().unwrap()], &config);
    let warning = format!("the X-ray cannot be written to {}: No such file", path.display());
    eventually("it is logged", || process.log().contains(&warning));
    Client::connect(process.address("uppercase-tcp")).ask("one", "ONE");
    fs::create_dir(directory.path().join("later")).unwrap();
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert!(status.success(), "{log}");
    assert!(fs::read_to_string(&path).unwrap().contains("sendto(3) = 3"), "{log}");
}

#[test]
fn unfinished_files_of_a_killed_server_are_removed() {
    let server = Recorded::start(&listener("uppercase", "tcp"));
    let left_over = server.directory.path().join(".xray.txt.0123456789abcdef.part");
    fs::write(&left_over, "half of it").unwrap();
    fs::write(server.directory.path().join(format!("xray.txt.{}", server.process.id())), "").unwrap();
    let file = server.directory.path().join("xray.txt");
    let config = json!({ "listeners": [listener("uppercase", "tcp")] });
    let next = Process::with(&[], &["--xray", file.to_str().unwrap()], &config);
    assert!(!left_over.exists());
    fs::remove_file(server.directory.path().join(format!("xray.txt.{}", server.process.id()))).unwrap();
    next.signal(Signal::SIGTERM);
    let (status, log) = next.wait();
    assert!(status.success() && !log.contains("WARN"), "{log}");
    server.stop();
}
