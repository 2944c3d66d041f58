//! A server in this process, on its own thread.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use reactor::kernel::Mio;
use reactor::stats::Stats;
use reactor::{Config, Handle, Reactor, Registry, Stopped, Turn};
use serde_json::{Value, json};

use super::listener;

/// Counters of one listener, and its open connections.
type Counters = (Stats, usize);

/// A server that is stopped and joined when it is dropped. It must then have ended gracefully, with every accepted
/// connection counted. So create it before its clients, which are then dropped first.
pub(crate) struct Server {
    names: Vec<String>,
    /// `None` for a Unix socket.
    addresses: Vec<Option<SocketAddr>>,
    handle: Handle,
    asks: mpsc::Sender<mpsc::Sender<Vec<Counters>>>,
    thread: Option<JoinHandle<(Stopped, Vec<Counters>)>>,
}

/// A server of the protocols of the crate.
#[track_caller]
pub(crate) fn server(config: &Value) -> Server {
    Server::start(&Registry::built_in(), config)
}

/// A server with one listener over TCP and default options.
#[track_caller]
pub(crate) fn loopback(protocol: &str) -> (Server, SocketAddr) {
    let server = server(&json!({ "listeners": [listener(protocol, "tcp")] }));
    let address = server.addresses[0].unwrap();
    (server, address)
}

impl Server {
    #[track_caller]
    pub(crate) fn start(registry: &Registry, config: &Value) -> Self {
        Self::on(Mio::new().unwrap(), registry, config)
    }

    /// A server on a given kernel.
    #[track_caller]
    pub(crate) fn on(kernel: Mio, registry: &Registry, config: &Value) -> Self {
        let config = Config::parse("test.json", &config.to_string(), registry).unwrap();
        let mut reactor = Reactor::with_kernel(kernel, &config, registry).unwrap();
        let (asks, asked) = mpsc::channel::<mpsc::Sender<_>>();
        Self {
            names: reactor.endpoints().iter().map(|endpoint| endpoint.name().to_owned()).collect(),
            addresses: reactor.endpoints().iter().map(|endpoint| endpoint.address()).collect(),
            handle: reactor.handle(),
            asks,
            thread: Some(thread::spawn(move || {
                loop {
                    let turn = reactor.turn(None).unwrap();
                    // All are taken before the first is answered: a test that asks again is answered after another turn.
                    for asker in asked.try_iter().collect::<Vec<_>>() {
                        let _ = asker.send(counters(&reactor));
                    }
                    if let Turn::Stopped(stopped) = turn {
                        return (stopped, counters(&reactor));
                    }
                }
            })),
        }
    }

    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses[self.index(name)].unwrap()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The current counters. At least one turn of the loop lies between two calls.
    pub(crate) fn stats(&self, name: &str) -> Stats {
        let (asker, answer) = mpsc::channel();
        self.asks.send(asker).unwrap();
        // Any command ends the wait of the loop; this one has no other effect without a logger.
        self.handle.report();
        answer.recv().unwrap().swap_remove(self.index(name)).0
    }

    /// Waits until the server ends by itself, and returns its last counters.
    pub(crate) fn join(mut self, name: &str) -> Stats {
        let index = self.index(name);
        self.finish().swap_remove(index).0
    }

    fn index(&self, name: &str) -> usize {
        self.names.iter().position(|known| known == name).unwrap()
    }

    fn finish(&mut self) -> Vec<Counters> {
        let (stopped, counters) = self.thread.take().unwrap().join().unwrap();
        assert_eq!(stopped, Stopped::Gracefully);
        for ((stats, open), name) in counters.iter().zip(&self.names) {
            assert_eq!((stats.accepted + stats.connected, *open), (stats.closed.total(), 0), "{name}: {stats:?}");
            assert_eq!(stats.closed.count("bug"), 0, "{name}: {stats:?}");
        }
        counters
    }
}

fn counters(reactor: &Reactor) -> Vec<Counters> {
    reactor.endpoints().iter().map(|endpoint| (endpoint.stats().clone(), endpoint.open_connections())).collect()
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.stop();
        if self.thread.is_none() {
            return;
        }
        if thread::panicking() {
            // The test has failed already; a second panic would hide the reason.
            let _ = self.thread.take().map(JoinHandle::join);
        } else {
            self.finish();
        }
    }
}
