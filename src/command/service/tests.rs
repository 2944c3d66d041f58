//! A real loop with a service manager of the test: who is fed, and who is not held.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::kernel::Handle;
use crate::protocol::{Context, Reply, Step, StreamProtocol};
use crate::registry::Registry;

/// Echoes, and at `!` says that it holds the loop, and does so until the test lets it go on.
struct Holder {
    holds: Sender<()>,
    goes_on: Arc<Mutex<Receiver<()>>>,
}

impl StreamProtocol for Holder {
    fn on_bytes(&mut self, input: &[u8], cx: &mut Context<'_>) -> Reply {
        if input.contains(&b'!') {
            self.holds.send(()).expect("the test");
            self.goes_on.lock().expect("no panic").recv().expect("the test lets it go on");
        }
        cx.out.extend_from_slice(input);
        Ok(Step::again(input.len()))
    }
}

/// A server with a manager that reads nothing by itself.
struct Served {
    manager: UnixDatagram,
    path: PathBuf,
    client: TcpStream,
    held: Receiver<()>,
    go_on: Sender<()>,
    handle: Handle,
    server: JoinHandle<io::Result<Stopped>>,
}

impl Served {
    fn start(name: &str, watchdog: Duration, prepare: impl Fn(&UnixDatagram, &PathBuf)) -> Self {
        let path = std::env::temp_dir().join(format!("reactor-service-{}-{name}", process::id()));
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).expect("a free path");
        manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        prepare(&manager, &path);

        let ((go_on, goes_on), (holds, held)) = (mpsc::channel(), mpsc::channel());
        let goes_on = Arc::new(Mutex::new(goes_on));
        let mut registry = Registry::empty();
        registry.stream_fn("holder", "Holds the loop.", "true", move |_| Holder {
            holds: holds.clone(),
            goes_on: Arc::clone(&goes_on),
        });
        let text = r#"{"listeners": [{"listen": "tcp://127.0.0.1:0", "protocol": "holder"}]}"#;
        let config = Config::parse("holder.json", text, &registry).expect("a configuration");
        let mut reactor = Reactor::bind(&config, &registry).expect("a free port");
        let client = TcpStream::connect(reactor.endpoints()[0].address().expect("TCP")).expect("a connection");
        client.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let handle = reactor.handle();
        let variable = |name: &str| match name {
            "NOTIFY_SOCKET" => Some(OsString::from(&path)),
            "WATCHDOG_USEC" => Some(watchdog.as_micros().to_string().into()),
            _ => None,
        };
        let notifier = Notifier::connect(variable, false);
        assert!(notifier.is_some());
        let server = thread::spawn(move || run(&mut reactor, notifier));
        Self { manager, path, client, held, go_on, handle, server }
    }

    fn message(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.manager.recv(&mut buffer).expect("a message in time");
        String::from_utf8_lossy(&buffer[..length]).replace('\n', " ")
    }

    /// Waits for one more message to the watchdog. Returns the others before it.
    fn is_fed(&self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.message())).take_while(|message| message != "WATCHDOG=1").collect()
    }

    /// Removes what has arrived.
    fn drain(&self) {
        self.manager.set_nonblocking(true).expect("a socket");
        while self.manager.recv(&mut [0; 8]).is_ok() {}
        self.manager.set_nonblocking(false).expect("a socket");
    }

    fn send(&mut self, bytes: &str) {
        self.client.write_all(bytes.as_bytes()).expect("a connection");
    }

    fn receives(&mut self, expected: &str) {
        let mut answer = vec![0; expected.len()];
        self.client.read_exact(&mut answer).expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), expected);
    }

    fn stop(self) {
        self.handle.stop();
        drop(self.client);
        assert_eq!(self.server.join().expect("no panic").expect("a poll"), Stopped::Gracefully);
        let _ = std::fs::remove_file(self.path);
    }
}

#[test]
fn the_watchdog_starves_while_a_protocol_holds_the_loop() {
    const LIMIT: Duration = Duration::from_millis(100);
    let mut served = Served::start("held", LIMIT, |_, _| ());
    assert!(served.message().starts_with("READY=1 STATUS="), "it is the first message");
    for _ in 0..4 {
        served.is_fed();
    }
    served.send("!");
    served.held.recv_timeout(Duration::from_secs(60)).expect("the loop is held");
    served.drain();
    served.manager.set_read_timeout(Some(4 * LIMIT)).expect("a socket");
    assert!(served.manager.recv(&mut [0; 8]).is_err(), "it is not fed any more");

    served.go_on.send(()).expect("the server");
    served.receives("!");
    served.manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    served.is_fed();
    served.stop();
}

#[test]
fn a_manager_that_reads_nothing_holds_no_client() {
    let fill = |_: &UnixDatagram, path: &PathBuf| {
        let filler = UnixDatagram::unbound().expect("a socket");
        filler.set_nonblocking(true).expect("a socket");
        filler.connect(path).expect("the manager");
        while filler.send(b"X=1").is_ok() {}
    };
    let mut served = Served::start("full", Duration::from_millis(2), fill);
    for _ in 0..100 {
        served.send("a");
        served.receives("a");
    }
    let messages: Vec<_> =
        std::iter::from_fn(|| Some(served.message())).skip_while(|message| message == "X=1").take(1).collect();
    assert!(messages[0].starts_with("READY=1 STATUS="), "{messages:?}");
    served.stop();
}
