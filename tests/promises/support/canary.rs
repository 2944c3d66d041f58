//! The canary: a client that sends requests all the time while the server is under stress.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Client;

/// The time limit of an answer. Generous, so that only a stall exceeds it, not a busy machine.
const SLOWEST: Duration = Duration::from_secs(4);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// A client of `sum`, independent of all others: it must never fail, and never wait long.
pub(crate) struct Canary {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Canary {
    #[track_caller]
    pub(crate) fn start(address: SocketAddr) -> Self {
        let mut client = Client::connect(address);
        ask(&mut client, 0);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let sing = move || {
            let mut slowest = Duration::ZERO;
            for number in 1.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                slowest = slowest.max(ask(&mut client, number));
                thread::park_timeout(PAUSE);
            }
            slowest
        };
        Self { stop, thread: thread::spawn(sing) }
    }

    /// Ends the canary, and fails if it ever failed or waited too long. Returns the time of the slowest answer.
    #[track_caller]
    pub(crate) fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let slowest = self.thread.join().expect("the canary is answered");
        assert!(slowest < SLOWEST, "the canary had to wait for {slowest:?}");
        slowest
    }
}

fn ask(client: &mut Client, number: u64) -> Duration {
    let start = Instant::now();
    client.ask(format!(r#"{{"A":{number},"B":1}}"#), format!("{{\"Sum\":{}}}\n", number + 1));
    start.elapsed()
}
