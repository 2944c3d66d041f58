//! Sockets that a service manager opens and passes: they are served by name, checked, and outlive the server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::thread;

use nix::sys::signal::Signal;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_keepalive, socket_keepalive};
use rustix::net::{AddressFamily, SocketType, bind, ipproto, listen, socket};
use serde_json::{Value, json};

use crate::support::{Client, Ended, PATIENCE, Process, Scratch, eventually, passing};

fn tcp() -> (OwnedFd, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

fn udp() -> (OwnedFd, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket.into(), address)
}

fn served(listeners: &[(&str, &str)]) -> Value {
    let listener = |(name, protocol): &(&str, &str)| json!({ "listen": format!("fd:{name}"), "protocol": protocol });
    json!({ "listeners": listeners.iter().map(listener).collect::<Vec<_>>() })
}

fn written(config: &Value) -> Scratch {
    let directory = Scratch::new();
    fs::write(directory.path().join("reactor.json"), config.to_string()).unwrap();
    directory
}

/// A server with these sockets, ready.
#[track_caller]
fn start(sockets: &[&OwnedFd], variables: &str, config: &Value) -> Process {
    let mut command = passing(sockets, variables);
    command.args(["-c", "reactor.json"]);
    Process::of(command, written(config))
}

/// What a server that does not start prints, and its exit code.
fn refused(sockets: &[&OwnedFd], variables: &str, config: &Value) -> (Option<i32>, String) {
    let directory = written(config);
    let mut command = passing(sockets, variables);
    command.args(["-c", "reactor.json"]).current_dir(directory.path()).stdin(Stdio::null());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut printed).unwrap();
    if !printed.is_empty() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(printed, "", "it has started");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn stop(process: Process) -> String {
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert!(status.success(), "{log}");
    log
}

fn tells_the_time(address: SocketAddr) {
    let mut client = Client::connect(address);
    client.finish();
    assert!(client.rest().ends_with(b"\n"));
}

#[test]
fn passed_sockets_are_served_by_name_and_by_number() {
    let ((web, web_address), (sums, sums_address), (time, time_address)) = (tcp(), udp(), tcp());
    let config = served(&[("web", "uppercase"), ("4", "sum"), ("the time", "time")]);
    let process = start(&[&web, &sums, &time], "LISTEN_FDS=3 LISTEN_FDNAMES='web:sums:the time'", &config);
    // The printed addresses are those of the sockets.
    assert_eq!(process.addresses(), [web_address, sums_address, time_address]);
    Client::connect(web_address).ask("a\n", "A\n");
    tells_the_time(time_address);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(br#"{"A":7,"B":4}"#, sums_address).unwrap();
    let mut answer = [0; 64];
    let (length, from) = client.recv_from(&mut answer).unwrap();
    assert_eq!((&answer[..length], from), (&b"{\"Sum\":11}\n"[..], sums_address));
    // They were blocking and inheritable (`proc_pid_fdinfo(5)`; the flags are octal).
    for number in 3..6 {
        let info = process.proc(&format!("fdinfo/{number}"));
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = i32::from_str_radix(flags, 8).unwrap();
        assert_eq!(flags & nix::libc::O_NONBLOCK, nix::libc::O_NONBLOCK, "{info}");
        assert_eq!(flags & nix::libc::O_CLOEXEC, nix::libc::O_CLOEXEC, "{info}");
    }
    let log = stop(process);
    assert!(log.contains(&format!("uppercase-fd uppercase tcp://{web_address}: accepted 1")), "{log}");
    assert!(log.contains(&format!("sum-fd sum udp://{sums_address}: datagrams in 1")), "{log}");
}

#[test]
fn a_wildcard_that_is_passed_answers_from_the_address_that_was_asked() {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let process = start(&[&socket.into()], "LISTEN_FDS=1", &served(&[("3", "sum")]));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.send_to(br#"{"A":1,"B":1}"#, ("127.0.0.9", port)).unwrap();
    let (_, from) = client.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(from, SocketAddr::from(([127, 0, 0, 9], port)));
    stop(process);
}

#[test]
fn connections_that_arrive_between_two_servers_are_served_by_the_second() {
    let (listener, address) = tcp();
    let config = served(&[("web", "uppercase")]);
    let start = || start(&[&listener], "LISTEN_FDS=1 LISTEN_FDNAMES=web", &config);
    let first = start();
    Client::connect(address).ask("a\n", "A\n");
    stop(first);
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(address)).collect();
    waiting.iter_mut().for_each(|client| client.send("b\n"));
    let second = start();
    waiting.iter_mut().for_each(|client| client.ask("", "B\n"));
    stop(second);
}

#[test]
fn no_client_is_refused_while_a_server_restarts() {
    let (listener, address) = tcp();
    let config = served(&[("web", "uppercase")]);
    let start = || start(&[&listener], "LISTEN_FDS=1 LISTEN_FDNAMES=web", &config);
    let over = Ended::default();
    let client = || {
        let mut answered = 0;
        while !over.has_ended() {
            let mut client = Client::over(TcpStream::connect(address).unwrap());
            client.send("a\n");
            client.finish();
            // A connection may be closed because its request came after the signal; a client then tries again.
            answered += usize::from(client.try_rest().is_ok_and(|answer| answer == b"A\n"));
        }
        answered
    };
    let answered = thread::scope(|scope| {
        let end = over.at_the_end();
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for _ in 0..5 {
            stop(start());
        }
        let server = start();
        drop(end);
        let answered: Vec<usize> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        stop(server);
        answered
    });
    assert!(answered.iter().all(|count| *count > 0), "{answered:?}");
}

/// The manager still has the socket, so the kernel would go on reporting it.
#[test]
fn a_server_that_stops_is_not_woken_by_the_connections_of_the_next() {
    let (listener, address) = tcp();
    let directory = written(&served(&[("3", "sum")]));
    let record = directory.path().join("record.txt");
    let mut command = passing(&[&listener], "LISTEN_FDS=1");
    command.args(["-c", "reactor.json", "--xray"]).arg(&record);
    let mut process = Process::of(command, directory);
    let mut client = Client::connect(address);
    client.ask(r#"{"A":7,"B":4}{"A":1,"#, "{\"Sum\":11}\n");
    process.signal(Signal::SIGTERM);
    let passed = format!("/proc/{}/fd/3", process.id());
    eventually("the listener is closed", || fs::symlink_metadata(&passed).is_err());
    // They come before the last bytes of the client, so the loop hears of both or of none.
    let waiting: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    client.send(r#""B":2}"#);
    assert_eq!(client.rest(), b"{\"Sum\":3}\n");
    drop((client, waiting));
    eventually("it ends", || !process.is_running());
    let record = fs::read_to_string(record).unwrap();
    assert!(record.contains("stopping") && !record.contains("former owner"), "{record}");
}

#[test]
fn what_is_passed_and_what_is_configured_must_agree() {
    let ((web, _), (sums, _)) = (tcp(), udp());
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let client: OwnedFd = TcpStream::connect(closed.local_addr().unwrap()).unwrap().into();
    let deaf = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP)).unwrap();
    bind(&deaf, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let unbound = socket(AddressFamily::INET, SocketType::DGRAM, Some(ipproto::UDP)).unwrap();
    let directory = Scratch::new();
    let unix: OwnedFd = UnixListener::bind(directory.path().join("socket")).unwrap().into();
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    let (name, both) = ("LISTEN_FDS=1 LISTEN_FDNAMES=web", "LISTEN_FDS=2 LISTEN_FDNAMES=web:sums");
    for (sockets, variables, listeners, expected) in [
        (&[&web, &sums][..], both, &[("web", "uppercase")][..], "no listener has what was passed: fd:4 (sums)"),
        (
            &[&web],
            name,
            &[("web", "time"), ("api", "time")],
            "time-fd-2: cannot listen on fd:api: no such socket was passed; passed: fd:3 (web)",
        ),
        (
            &[&web],
            "LISTEN_FDS=1",
            &[("web", "time")],
            "time-fd: cannot listen on fd:web: no such socket was passed; passed: fd:3 (unknown)",
        ),
        (
            &[&web],
            name,
            &[("web", "time"), ("3", "time")],
            "time-fd-2: cannot listen on fd:3: another listener has taken this socket; passed: fd:3 (web)",
        ),
        (
            &[&web, &sums],
            "LISTEN_FDS=2 LISTEN_FDNAMES=web:web",
            &[("web", "time")],
            "several sockets with this name were passed; a number names one; passed: fd:3 (web), fd:4 (web)",
        ),
        (&[], "LISTEN_FDS=0", &[("web", "time")], "no socket was passed to this process (LISTEN_FDS, LISTEN_PID)"),
        (
            &[],
            "LISTEN_FDS=1",
            &[("3", "time")],
            "expected descriptor 3 from the service manager, found that it was not",
        ),
        (&[], "LISTEN_FDS=4294967296", &[("3", "time")], "expected descriptor 3 from the service manager"),
        (&[&web], "LISTEN_FDS=x", &[("3", "time")], "LISTEN_FDS: expected a number, found \"x\""),
        (
            &[&web],
            "LISTEN_FDS=1 LISTEN_FDNAMES=a:b",
            &[("3", "time")],
            "LISTEN_FDNAMES: expected 1 names (LISTEN_FDS), found 2",
        ),
        (&[&sums], name, &[("web", "time")], "expected a protocol for UDP, found \"time\", which is for TCP"),
        (&[&client], name, &[("web", "time")], "expected a listening TCP socket, found one that does not listen (127"),
        (&[&deaf], name, &[("web", "time")], "expected a listening TCP socket, found one that does not listen (127"),
        (&[&unbound], name, &[("web", "sum")], "expected a UDP socket with a port, found one that is not bound"),
        (&[&unix], name, &[("web", "time")], "expected a TCP or UDP socket, found a Unix socket"),
        (&[&file], name, &[("web", "time")], "expected a socket, found another descriptor: "),
    ] {
        let (code, told) = refused(sockets, variables, &served(listeners));
        assert!(told.contains(expected) && told.lines().count() == 1, "{expected}: {told}");
        assert_eq!(code, Some(65), "{told}");
    }
}

#[test]
fn a_passed_socket_of_udp_has_neither_access_nor_proxies() {
    const WHY: &str = "proxy_protocol and access are for listeners of streams only";
    let (sums, _) = udp();
    let plain = json!({ "listeners": [{ "listen": "fd:3", "protocol": "sum" }] });
    for (member, value) in
        [("access", json!({ "deny": ["192.0.2.0/24"] })), ("proxy_protocol", json!({ "from": ["192.0.2.1"] }))]
    {
        let mut config = plain.clone();
        config["listeners"][0][member] = value;
        let (code, told) = refused(&[&sums], "LISTEN_FDS=1", &config);
        assert!(code == Some(65) && told.contains(WHY), "{told}");
        let process = start(&[&sums], "LISTEN_FDS=1", &plain);
        fs::write(process.directory().path().join("reactor.json"), config.to_string()).unwrap();
        process.signal(Signal::SIGHUP);
        eventually("the reload fails", || process.log().contains("reload: failed; everything stays as it was"));
        assert!(stop(process).contains(WHY));
    }
}

#[test]
fn a_reload_keeps_passed_sockets_and_takes_no_other() {
    let ((web, _), (sums, _)) = (tcp(), udp());
    let process = start(&[&web, &sums], "LISTEN_FDS=2", &served(&[("3", "time"), ("4", "sum")]));
    for number in 1..=2 {
        process.signal(Signal::SIGHUP);
        eventually("nothing differs", || process.log().matches("reload: done; 0 differences").count() == number);
    }
    let config = served(&[("3", "time"), ("4", "sum"), ("5", "time")]);
    fs::write(process.directory().path().join("reactor.json"), config.to_string()).unwrap();
    process.signal(Signal::SIGHUP);
    eventually("it says so", || {
        process.log().contains("reload: time-fd-2: a passed socket can be taken only at the start")
            && process.log().contains("reload: failed; everything stays as it was")
    });
    tells_the_time(process.address("time-fd"));
    stop(process);
}

#[test]
fn a_reload_of_other_limits_changes_nothing_else_of_a_passed_socket() {
    let six = socket(AddressFamily::INET6, SocketType::STREAM, Some(ipproto::TCP)).unwrap();
    set_ipv6_v6only(&six, true).unwrap();
    set_socket_keepalive(&six, true).unwrap();
    bind(&six, &SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))).unwrap();
    listen(&six, 7).unwrap();
    let config = |idle: &str| {
        let limits = json!({ "idle_timeout": idle, "tcp_keepalive": "0s" });
        json!({ "listeners": [{ "listen": "fd:3", "protocol": "time", "limits": limits }] })
    };
    let process = start(&[&six], "LISTEN_FDS=1", &config("1h"));
    assert!(!socket_keepalive(&six).unwrap(), "tcp_keepalive decides, and not KeepAlive= of the unit");
    fs::write(process.directory().path().join("reactor.json"), config("2h").to_string()).unwrap();
    process.signal(Signal::SIGHUP);
    eventually("it reloads", || process.log().contains("reload: time-fd: idle_timeout 1h -> 2h"));
    let address = process.address("time-fd");
    let log = stop(process);
    assert!(log.contains(&format!("] time-fd time tcp6://{address}: accepted 0")), "{log}");
}

#[test]
fn sockets_for_another_process_are_left_alone() {
    let (web, _) = tcp();
    let config = json!({ "listeners": [{ "listen": "tcp://127.0.0.1:0", "protocol": "time" }] });
    let process = start(&[&web], "LISTEN_FDS=1 LISTEN_PID=1", &config);
    tells_the_time(process.address("time-tcp"));
    stop(process);
}

#[test]
fn check_says_that_the_start_checks_passed_sockets() {
    let directory = written(&served(&[("web", "time"), ("4", "sum")]));
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reactor"));
    let output = command.args(["check", "-c", "reactor.json"]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "time-fd: the start checks the passed socket fd:web\nsum-fd: the start checks the passed socket fd:4\n"
    );
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["listeners"][0]["listen"], "fd:web");
    assert_eq!((printed["listeners"][1].get("backlog"), printed["listeners"][1].get("receive_buffer")), (None, None));
}
