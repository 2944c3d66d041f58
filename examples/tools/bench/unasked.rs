//! What the server does unasked, with ten thousand connections on real sockets: messages of other threads, and timers.
//!
//! ```sh
//! cargo bench --bench unasked
//! cargo bench --bench unasked -- push
//! cargo bench --bench unasked -- timers
//! ```
//!
//! `push`: eight threads post a million messages in all. Every message must arrive once, those of a thread to a connection in
//! their order. A thread that is refused ([`NotSent::Full`](reactor::protocol::NotSent::Full)) waits for a millisecond and posts
//! the same message again.
//!
//! `timers`: each connection has a timer every 100 ms that sends nothing, beside a thousand requests a second. A timer is late
//! by the time from its moment to the call of its protocol: by less than 10 ms for 99 of 100.
//!
//! The clients are a process of their own, so that each side needs 10,100 descriptors. They run beside the server on the same
//! cores, so the times are those of a machine that is busy with both sides.

#[path = "unasked/push.rs"]
mod push;
#[path = "unasked/timers.rs"]
mod timers;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reactor::{Config, Handle, Reactor, Registry};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

const CONNECTIONS: usize = 10_000;
const DESCRIPTORS: u64 = CONNECTIONS as u64 + 100;
/// The argument that makes this program the clients.
const CLIENTS: &str = "clients";

fn main() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit of descriptors is known");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("the limit of descriptors can be raised");
    assert!(most >= DESCRIPTORS, "only {most} descriptors are allowed (ulimit -Hn), {DESCRIPTORS} are needed");
    // Cargo adds options of its own.
    let names: Vec<_> = env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    if let [CLIENTS, name, address] = names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let address = address.parse().expect("it is an address");
        return if name == "push" { push::receive_all(address) } else { timers::stay(address) };
    }
    let runs: [(&str, fn()); 2] = [("push", push::run), ("timers", timers::run)];
    for (name, run) in runs {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            run();
        }
    }
    // Linux alone has it.
    if let Ok(load) = fs::read_to_string("/proc/loadavg") {
        println!("load average of the machine at the end: {}", load.trim());
    }
}

/// The clients of a server: this program once more.
struct Clients {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Clients {
    fn start(name: &str, address: SocketAddr) -> Self {
        let mut child = Command::new(env::current_exe().expect("the program is a file"))
            .args([CLIENTS, name, &address.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let says = BufReader::new(child.stdout.take().expect("it is a pipe"));
        Self { child, says }
    }

    /// Waits until they have said that they are done.
    fn expect(&mut self, word: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).expect("the pipe is open");
        assert_eq!(line.trim_end(), word, "the clients have failed");
    }

    /// Lets them end, and waits for it.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().expect("they end").success());
    }
}

/// A server on its own thread.
struct Server {
    addresses: Vec<SocketAddr>,
    handle: Handle,
    thread: JoinHandle<Duration>,
}

impl Server {
    /// Starts a server with one listener over TCP for each protocol.
    fn start(registry: Registry, protocols: &[&str]) -> Self {
        let (started, starting) = mpsc::channel();
        let config = json!({
            "listeners": protocols.iter().map(|protocol| listener(protocol)).collect::<Vec<_>>(),
            "limits": { "max_connections": CONNECTIONS + 50, "idle_timeout": "1h" },
        });
        let thread = thread::spawn(move || {
            let config = Config::parse("unasked.rs", &config.to_string(), &registry).expect("it is valid");
            let mut reactor = Reactor::bind(&config, &registry).expect("a port is free");
            let addresses = reactor.endpoints().iter().filter_map(|endpoint| endpoint.address()).collect();
            started.send((addresses, reactor.handle())).expect("the main thread waits for it");
            reactor.run().expect("the loop does not fail");
            let time = clock_gettime(ClockId::ThreadCPUTime);
            Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
        });
        let (addresses, handle) = starting.recv().expect("the server starts");
        Self { addresses, handle, thread }
    }

    /// Stops the server, and returns how long its thread was on a core.
    fn stop(self) -> Duration {
        self.handle.stop();
        self.thread.join().expect("the server does not fail")
    }
}

fn listener(protocol: &str) -> Value {
    json!({ "protocol": protocol, "listen": "tcp://127.0.0.1:0" })
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_nodelay(true).expect("the stream is open");
    stream
}
