//! A soak: honest and hostile clients connect and close all the time, and no resource is held at the end.
//!
//! It takes two seconds, or as long as `REACTOR_SOAK` says (five minutes in `docs/reliability.md`).

mod honest;
mod hostile;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use self::honest::Honest;
use self::hostile::Mob;
use crate::support::{
    Canary, Ended, Process, Trial, eventually, listener, listener_with, number_after, soak, watch_for,
};

/// The listeners over TCP.
const NAMES: [&str; 6] = ["sum-tcp", "uppercase-tcp", "file-tcp", "file-sized-tcp", "time-tcp", "greeting-tcp"];

/// After each storm the server is idle, and its memory is measured.
const STORMS: u64 = 5;

const HONEST: u64 = 6;
const MOBS: u64 = 4;

const MIB: f64 = 1024.0 * 1024.0;

/// The bytes that the allocator may keep after a storm beyond those after the first one: far less than any leak in
/// minutes.
const SLACK: usize = 16 * 1024 * 1024;

/// Deadlines that expire within a storm, and that an honest client misses only because of a stall.
fn listeners() -> Vec<Value> {
    let limits = json!({ "idle_timeout": "4s", "request_timeout": "4s", "write_timeout": "4s" });
    let mut few = limits.clone();
    few["max_connections"] = 30.into();
    let simple = json!({ "limits": limits });
    // A client that is delayed in the middle of a name must not end the name by that.
    let files = json!({ "limits": limits, "options": { "existing": "replace", "name_quiet": "0s" } });
    vec![
        listener("sum", "udp"),
        listener_with("sum", &simple),
        listener_with("uppercase", &simple),
        listener_with("file", &files),
        listener_with("file-sized", &files),
        listener_with("time", &json!({ "limits": few })),
        listener_with("greeting", &simple),
    ]
}

#[test]
fn after_a_soak_honest_clients_were_served_and_no_resource_is_held() {
    let span = soak(Duration::from_secs(2));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = u64::from(now.subsec_nanos());
    println!("{span:?} from seed {seed}");
    let trial = Trial::start(&listeners());
    println!("at rest {:.1} MiB", trial.resident_bytes() as f64 / MIB);
    let canary = Canary::start(trial.address("canary"));
    let mut answers = 0;
    let mut resident = Vec::new();
    for storm in 1..=STORMS {
        answers += rage(&trial, span / STORMS as u32, seed + storm * 1000);
        let told = || trial.counters().into_iter().filter(|line| !line.contains("] canary "));
        eventually("all clients have closed", || told().all(|line| number_after(&line, "open") == 0));
        resident.push(trial.resident_bytes());
        println!("at rest {:.1} MiB", trial.resident_bytes() as f64 / MIB);
    }
    println!("{answers} answers to honest clients were right; the canary waited for {:.0?} at most", canary.stop());
    let process = trial.end();
    assert!(resident[resident.len() - 1] < resident[0] + SLACK, "{resident:?}");
    // An upload that was cut has no name; without a size, a FIN ends a file anywhere.
    let strange: Vec<_> =
        process.received().into_iter().filter(|name| !honest::is_own(name) && name != "loose").collect();
    assert_eq!(strange, [""; 0]);
    for line in process.log().lines().rev().filter(|line| line.contains(" in ")).take(NAMES.len() + 2) {
        println!("{line}");
    }
}

/// Runs all clients for `span`. Returns the number of right answers to honest clients; a wrong one fails the test.
fn rage(process: &Process, span: Duration, seed: u64) -> u64 {
    let answers = &AtomicU64::new(0);
    let over = &Ended::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        for number in 0..HONEST {
            scope.spawn(move || {
                let mut honest = Honest::new(process, number, seed);
                while !over.has_ended() {
                    answers.fetch_add(honest.go_on(), Ordering::Relaxed);
                }
            });
        }
        for number in 0..MOBS {
            scope.spawn(move || {
                let mut mob = Mob::new(process, seed + HONEST + number);
                while !over.has_ended() {
                    mob.go_on();
                }
            });
        }
        watch_for(span);
    });
    answers.load(Ordering::Relaxed)
}
