//! Everything at once for a length of time: honest and hostile clients, connecting and leaving, and nothing is left.
//!
//! It takes two seconds, or as long as `REACTOR_SOAK` says (`docs/reliability.md` tells of five minutes).

mod honest;
mod hostile;

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use self::honest::Honest;
use self::hostile::Mob;
use crate::support::{Canary, Over, Process, Trial, eventually, listener, listener_with, number_after, watch_for};

/// The listeners over TCP.
const NAMES: [&str; 6] = ["sum-tcp", "uppercase-tcp", "file-tcp", "file-sized-tcp", "time-tcp", "greeting-tcp"];

/// After each storm the server is left in peace, and its memory is looked at.
const STORMS: u64 = 5;

const HONEST: u64 = 6;
const MOBS: u64 = 4;

const MIB: f64 = 1024.0 * 1024.0;

/// What the allocator may keep after a storm more than after the first one: far less than any leak in minutes.
const SLACK: usize = 16 * 1024 * 1024;

/// Deadlines that come within a storm, and that only a stall makes an honest client miss.
fn listeners() -> Vec<Value> {
    let limits = json!({ "idle_timeout": "4s", "request_timeout": "4s", "write_timeout": "4s" });
    let mut few = limits.clone();
    few["max_connections"] = 30.into();
    let simple = json!({ "limits": limits });
    // A client that is held up in the middle of a name has not ended it.
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
    let span =
        env::var("REACTOR_SOAK").map_or(Duration::from_secs(2), |text| humantime::parse_duration(&text).unwrap());
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
        eventually("everybody has left", || told().all(|line| number_after(&line, "open") == 0));
        resident.push(trial.resident_bytes());
        println!("at rest {:.1} MiB", trial.resident_bytes() as f64 / MIB);
    }
    println!("{answers} answers to honest clients were right; the canary waited for {:.0?} at most", canary.stop());
    let process = trial.end();
    assert!(resident[resident.len() - 1] < resident[0] + SLACK, "{resident:?}");
    // What was cut off has no name; where no size is said, a FIN ends a file wherever it comes.
    let strange: Vec<_> =
        process.received().into_iter().filter(|name| !honest::is_own(name) && name != "loose").collect();
    assert_eq!(strange, [""; 0]);
    for line in process.log().lines().rev().filter(|line| line.contains(" in ")).take(NAMES.len() + 2) {
        println!("{line}");
    }
}

/// Lets everybody loose for `span`. Gives how many answers to honest clients were right; a wrong one fails the test.
fn rage(process: &Process, span: Duration, seed: u64) -> u64 {
    let answers = &AtomicU64::new(0);
    let over = &Over::default();
    thread::scope(|scope| {
        let _end = over.at_the_end();
        for number in 0..HONEST {
            scope.spawn(move || {
                let mut honest = Honest::new(process, number, seed);
                while !over.is_over() {
                    answers.fetch_add(honest.go_on(), Ordering::Relaxed);
                }
            });
        }
        for number in 0..MOBS {
            scope.spawn(move || {
                let mut mob = Mob::new(process, seed + HONEST + number);
                while !over.is_over() {
                    mob.go_on();
                }
            });
        }
        watch_for(span);
    });
    answers.load(Ordering::Relaxed)
}
