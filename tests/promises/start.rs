//! Starting: printed lines arrive, signals arrive, and there are warnings only where the administrator can act.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Process, Scratch, eventually, every_protocol, in_own_network, listener, listener_with};

/// The log of a server that has stopped gracefully.
#[track_caller]
fn log_of(process: Process) -> String {
    process.signal(Signal::SIGTERM);
    let (status, log) = process.wait();
    assert!(status.success(), "{log}");
    log
}

#[test]
fn signals_arrive_although_the_parent_had_them_blocked() {
    let signals = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1];
    let blocked = SigSet::from_iter(signals);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        blocked.thread_block().unwrap();
        let process = Process::start(&json!({ "listeners": [listener("sum", "tcp")] }));
        blocked.thread_unblock().unwrap();
        assert_eq!(process.counter("sum-tcp", "open"), 0, "SIGUSR1 has arrived");
        process.signal(signal);
        let (status, log) = process.wait();
        assert!(status.success(), "{signal}: {log}");
    }
}

#[test]
fn addresses_are_printed_to_a_pipe_that_is_non_blocking_and_full() {
    let directory = Scratch::new();
    let (mut reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    let mut server = Command::new(env!("CARGO_BIN_EXE_reactor"))
        .args(["--listen", "sum=tcp://127.0.0.1:0"])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Read only now: the server waits for room, or has given up. An early signal is not lost.
    let state = format!("/proc/{}/stat", server.id());
    eventually("it sleeps", || fs::read_to_string(&state).unwrap().contains(") S "));
    kill(Pid::from_raw(server.id() as i32), Signal::SIGTERM).unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let told: Vec<_> = text.lines().filter(|line| !line.is_empty()).collect();
    assert!(server.wait().unwrap().success());
    assert!(
        matches!(told[..], [listening, "ready"] if listening.starts_with("listening sum-tcp sum tcp://127")),
        "{told:?}"
    );
}

/// The first command of the README: a program without arguments.
#[test]
fn without_arguments_it_opens_only_the_printed_addresses() {
    const LISTENING: [&str; 7] = [
        "127.0.0.1:5656",
        "127.0.0.1:5656",
        "127.0.0.1:8001",
        "127.0.0.1:8008",
        "127.0.0.1:8009",
        "127.0.0.1:8330",
        "127.0.0.1:7020",
    ];
    if !in_own_network("start::without_arguments_it_opens_only_the_printed_addresses") {
        return;
    }
    let process = Process::listen(&[]);
    let printed: Vec<_> = process.addresses().iter().map(ToString::to_string).collect();
    assert_eq!(printed, LISTENING);

    // A line is an entry of the network's tables, below the headings (`proc_pid_net(5)`): number, address, and so on.
    let open = |tables: &[&str]| -> Vec<String> {
        let text: Vec<_> = tables.iter().map(|table| process.proc(&format!("net/{table}"))).collect();
        let entries = text.iter().flat_map(|table| table.lines().skip(1));
        let mut addresses: Vec<_> = entries.map(|entry| entry.split_whitespace().nth(1).unwrap().to_owned()).collect();
        addresses.sort();
        addresses
    };
    let of_loopback = |port: u16| format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]));
    assert_eq!(open(&["tcp", "tcp6"]), [5656, 7020, 8001, 8008, 8009, 8330].map(of_loopback));
    assert_eq!(open(&["udp", "udp6"]), [5656].map(of_loopback));
    assert_eq!(open(&["raw", "raw6", "packet"]), [""; 0]);

    // Two more sockets pass on signals. The others belong to the loop's poll.
    let is_of_the_poll = |opened: &&String| opened.starts_with("anon_inode:") || opened.starts_with("pipe:");
    let opened = process.opened();
    let (sockets, files): (Vec<_>, Vec<_>) =
        opened.iter().filter(|opened| !is_of_the_poll(opened)).partition(|opened| opened.starts_with("socket:"));
    assert_eq!(sockets.len(), LISTENING.len() + 2, "{sockets:?}");
    let received = process.directory().path().canonicalize().unwrap().join("received");
    assert_eq!(files, [received.to_str().unwrap(); 2]);
    assert_eq!(process.directory().names(), ["received"]);
    log_of(process);
}

#[test]
fn no_thread_is_started_before_the_first_line_of_the_log() {
    let directory = Scratch::new();
    let process = Process::start(&json!({ "listeners": every_protocol(&directory) }));
    assert_eq!((process.threads(), process.log().as_str()), (1, ""));
    process.counters();
    assert_eq!((process.threads(), process.threads_named("log")), (2, 1));
}

#[test]
fn descriptors_are_warned_of_only_if_more_are_asked_for_than_there_are() {
    let directory = Scratch::new();
    let with = |limits: Value| {
        let config = json!({ "listeners": every_protocol(&directory), "limits": limits });
        log_of(Process::under(&["prlimit", "--nofile=1500:1500"], &config))
    };
    let warning = "file descriptors are left for connections";
    for (limits, is_warned) in [(json!({}), false), (json!({ "max_connections": 100 }), false)] {
        let log = with(limits);
        assert_eq!(log.contains(warning), is_warned, "{log}");
    }
    let log = with(json!({ "max_connections": 300 }));
    assert_eq!(log.matches(warning).count(), 1, "{log}");
}

#[test]
fn a_size_that_the_kernel_reduces_is_logged_with_its_sysctl() {
    let log = log_of(Process::start(&json!({ "listeners": [listener("sum", "tcp"), listener("sum", "udp")] })));
    assert!(!log.contains("the kernel reduces"), "{log}");
    let mut udp = listener("sum", "udp");
    udp["receive_buffer"] = json!("2147483647B");
    let tcp = listener_with("sum", &json!({ "backlog": 2_147_483_646 }));
    let process = Process::start(&json!({ "listeners": [tcp, udp] }));
    let cut = |name: &str, member: &str, asked: u64, unit: &str, sysctl: &str| {
        let most = fs::read_to_string(format!("/proc/sys/{}", sysctl.replace('.', "/"))).unwrap();
        let address = process.address(name);
        format!("{address}: the kernel reduces {member} from {asked} to {} {unit} (sysctl {sysctl})", most.trim())
    };
    let expected = [
        cut("sum-tcp", "backlog", 2_147_483_646, "connections", "net.core.somaxconn"),
        cut("sum-udp", "receive_buffer", 2_147_483_647, "bytes", "net.core.rmem_max"),
    ];
    let log = log_of(process);
    assert!(expected.iter().all(|line| log.matches(line).count() == 1), "{expected:#?} {log}");
}

#[test]
fn a_link_local_address_is_listened_on_at_its_interface() {
    const SETUP: &str = "ip link add wire type veth peer name other && ip link set wire up && \
                         ip addr add fe80::77/64 dev wire nodad && exec \"$@\"";
    let prefix = ["unshare", "--map-root-user", "--net", "sh", "-c", SETUP, "sh"];
    if !Command::new(prefix[0]).args(&prefix[1..]).arg("true").output().is_ok_and(|output| output.status.success()) {
        assert!(env::var_os("CI").is_none(), "no network namespace can be made");
        return eprintln!("SKIPPED: no network namespace can be made, so this test did nothing");
    }
    let at = |scheme: &str| json!({ "protocol": "sum", "listen": format!("{scheme}://[fe80::77%wire]:0") });
    let process = Process::under(&prefix, &json!({ "listeners": [at("tcp"), at("udp")] }));
    for name in ["sum-tcp", "sum-udp"] {
        // The number of an interface is printed, and accepted as input too.
        let SocketAddr::V6(address) = process.address(name) else { panic!("{}", process.address(name)) };
        assert!(address.scope_id() > 0 && address.ip().is_unicast_link_local(), "{address}");
    }
    log_of(process);
}
