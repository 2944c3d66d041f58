//! Ten thousand timers beside requests.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use reactor::Registry;
use reactor::protocol::{Context, Event, Reply, Step, StreamProtocol, Within};

use super::{CONNECTIONS, Clients, Server, connect};

/// The period of each timer.
const EVERY: Duration = Duration::from_millis(100);
/// By how much a timer may be late at the 99th percentile.
const LATE_MAX: Duration = Duration::from_millis(10);
const ASKERS: usize = 10;
const REQUESTS_A_SECOND: u32 = 1000;
const SECONDS: u32 = 10;
/// An hour.
const TIME_MAX_NS: u64 = 3_600_000_000_000;

/// How late timers are, in nanoseconds, while it is counted.
#[derive(Default)]
struct Lateness {
    is_counted: AtomicBool,
    times: Mutex<Option<Histogram<u64>>>,
}

impl Lateness {
    fn note(&self, late: Duration) {
        if self.is_counted.load(Ordering::Relaxed) {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.get_or_insert_with(histogram).saturating_record(late.as_nanos() as u64);
        }
    }
}

/// Waits for its timer again and again, and sends nothing.
struct Timer {
    next: Option<Instant>,
    lateness: Arc<Lateness>,
}

impl Timer {
    fn wait(&mut self, now: Instant) -> Step {
        let next = self.next.map_or(now + EVERY, |last| (last + EVERY).max(now));
        self.next = Some(next);
        Step::wait(Within::Nothing).until(next)
    }
}

impl StreamProtocol for Timer {
    fn on_open(&mut self, cx: &mut Context<'_>) -> Reply {
        Ok(self.wait(cx.now))
    }

    fn on_bytes(&mut self, input: &[u8], _: &mut Context<'_>) -> Reply {
        Ok(Step::again(input.len()))
    }

    fn on_event(&mut self, event: Event, _: &[u8], _: &mut Context<'_>) -> Reply {
        if !matches!(event, Event::Timer) {
            return Ok(Step::finish());
        }
        // The clock of the turn was read before the visits of others.
        let now = Instant::now();
        if let Some(due) = self.next {
            self.lateness.note(now.saturating_duration_since(due));
        }
        Ok(self.wait(now))
    }
}

pub(crate) fn run() {
    let lateness = Arc::new(Lateness::default());
    let mut registry = Registry::built_in();
    let shared = Arc::clone(&lateness);
    registry.stream_fn("timer", "Has a timer.", "true", move |_| Timer { next: None, lateness: Arc::clone(&shared) });
    let server = Server::start(registry, &["timer", "uppercase"]);
    let mut crowd = Clients::start("timers", server.addresses[0]);
    crowd.expect("connected");
    let askers: Vec<_> = (0..ASKERS).map(|_| connect(server.addresses[1])).collect();
    lateness.is_counted.store(true, Ordering::Relaxed);
    let latencies = ask(askers);
    lateness.is_counted.store(false, Ordering::Relaxed);
    crowd.end();
    let busy = server.stop();

    let times = lateness.times.lock().unwrap_or_else(PoisonError::into_inner).take().expect("timers fire");
    let p99 = Duration::from_nanos(times.value_at_quantile(0.99));
    println!("timers: {CONNECTIONS} connections, one each {EVERY:.0?}, beside {REQUESTS_A_SECOND} requests a second");
    println!("  {} timers in {SECONDS} s, late by {}", times.len(), quantiles(&times));
    println!("  {} requests, answered after {}", latencies.len(), quantiles(&latencies));
    println!("  the server's thread: {busy:.2?} on a core, with {CONNECTIONS} connections opened and closed");
    let verdict = if p99 < LATE_MAX { "kept" } else { "exceeded" };
    println!("  allowed: {LATE_MAX:.0?} late at p99: {verdict}");
}

/// Keeps connections until standard input ends.
pub(crate) fn stay(address: SocketAddr) {
    let crowd: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
    println!("connected");
    io::stdin().read_to_end(&mut Vec::new()).expect("the pipe is open");
    drop(crowd);
}

/// Asks by all connections in turn, at a fixed rate. Returns how long the answers took from the time when each request was due.
fn ask(mut askers: Vec<TcpStream>) -> Histogram<u64> {
    let mut latencies = histogram();
    let start = Instant::now();
    for number in 0..REQUESTS_A_SECOND * SECONDS {
        let due = start + Duration::from_secs(1) * number / REQUESTS_A_SECOND;
        // The pace of the requests.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asker = &mut askers[number as usize % ASKERS];
        let mut answer = [0; 6];
        asker.write_all(b"hello\n").and_then(|()| asker.read_exact(&mut answer)).expect("the server answers");
        assert_eq!(&answer, b"HELLO\n");
        latencies.saturating_record(due.elapsed().as_nanos() as u64);
    }
    latencies
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, TIME_MAX_NS, 3).expect("three digits are possible")
}

fn quantiles(times: &Histogram<u64>) -> String {
    let at = |part| Duration::from_nanos(times.value_at_quantile(part));
    format!("p50 {:.1?}, p99 {:.1?}, p999 {:.1?}, max {:.1?}", at(0.5), at(0.99), at(0.999), at(1.0))
}
